"""The truth that arrives later: what each piece of it is to its decision (`arrivals`), and its rows (`records`).

- A piece whose decision is in the log is the first, a repeated or a corrected one; the newest not repeated one holds.
- One whose truth is no label of the version that decided is kept as `unknown class` and used for nothing;
  `models/runtime/labels.py` says what is a label. Values of another type are kept as the label that they can only mean.
- One that comes before its decision waits, and is taken in anew, at the end of the order, with its decision.
- One whose decision was removed by age is late: counted, of no further effect.
"""
