"""From scores to what people read: pure functions of records, and the writers of each format.

outcomes.py      what a scorer said about images
reasons.py       why images failed, as a histogram
per_prompt.py    any, mean and all images of a prompt correct
sensitivity.py   the scores at other thresholds
summary.py       scores -> Summary, and summary.json
summary_file.py  reads summary.json of a run folder; scored_run.py its single scores too
evidence.py      what a run knows about every metric; run_evidence.py reads it from a run folder
measures.py      every other metric of a run, and metrics.json; measures_file.py reads it
measuring.py     numbers of images and of sets of images -> Measure
entry.py         a run on a leaderboard: GenEval, other metrics, or both
published.py     the rows that papers print; published_ablations.py their ablations
comparison.py    two runs -> paired differences of every metric; flips.py the images that flipped
sentences.py     a verdict in words
cells.py         numbers as the tables show them
leaderboard.py   the terminal table; markdown.py, as_csv.py and as_json.py the other formats
measures_text.py the metrics of a run as text; measures_board.py those of several runs that were measured alike
measures_table.py     the terminal tables of both; measures_markdown.py the same as markdown
details.py       the terminal table of what a single run says beyond its mean
contact_sheet.py a picture of judged images with the boxes of what was found
html/            one self-contained page of runs: tables, curves, all pictures with their boxes, origins
comparison_table.py   the terminal tables of a comparison; comparison_markdown.py the same as markdown
baseline.py      the evidence of a run as a committed file, with who promoted it and why
gate_policy.py   what a gate tolerates; gate.py the answer, gate_files.py from files to it
gate_text.py     the answer as table, markdown and JSON; junit.py as JUnit XML, github.py as annotations
"""
