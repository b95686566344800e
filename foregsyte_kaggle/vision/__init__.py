"""The built-in pipeline ``yolo_ocr``: frames of videos and images, what is in them, and the text on it.

Nothing of it is imported before a run needs it, and all but ``pipeline`` only in a worker. It needs the
extra ``vision``, and knows neither the ledger nor pandas.
"""
