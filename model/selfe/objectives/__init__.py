"""Training objectives, one file each, over one network and one trainer."""
