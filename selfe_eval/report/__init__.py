"""From scores to what people read: pure functions of records, and the writers of each format.

outcomes.py      what a scorer said about images
reasons.py       why images failed, as a histogram
summary.py       scores -> Summary, and summary.json
summary_file.py  reads summary.json of a run folder; scored_run.py its single scores too
published.py     the rows that papers print
comparison.py    two runs -> paired differences
sentences.py     a verdict in words
cells.py         numbers as the tables show them
leaderboard.py   the terminal table; markdown.py, as_csv.py and as_json.py the other formats
comparison_table.py   the terminal table of a comparison
"""
