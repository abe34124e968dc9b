"""From scores to what people read: pure functions of records, and the writers of each format.

outcomes.py      what a scorer said about images
reasons.py       why images failed, as a histogram
per_prompt.py    any, mean and all images of a prompt correct
sensitivity.py   the scores at other thresholds
summary.py       scores -> Summary, and summary.json
summary_file.py  reads summary.json of a run folder; scored_run.py its single scores too
published.py     the rows that papers print
comparison.py    two runs -> paired differences
sentences.py     a verdict in words
cells.py         numbers as the tables show them
leaderboard.py   the terminal table; markdown.py, as_csv.py and as_json.py the other formats
details.py       the terminal table of what a single run says beyond its mean
contact_sheet.py a picture of judged images with the boxes of what was found
comparison_table.py   the terminal table of a comparison
"""
