"""Videos and images: what they are, their frames, what is on these, and the built-in pipeline ``yolo_ocr``.

Nothing of it is imported before a run or a preview needs it. It needs the extra ``vision``, and knows
neither the ledger nor pandas.
"""
