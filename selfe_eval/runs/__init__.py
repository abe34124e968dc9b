"""Run folders: what was asked, what has been made, and how nothing of it gets lost."""
