"""What an input looks like, in a few kilobytes: a thumbnail, a video's middle frame, first lines or rows.

Reading is bounded in bytes and in time, and what cannot be shown is said in a sentence, never raised.
"""

from foregsyte_kaggle.previews.inputs import preview_input
from foregsyte_kaggle.previews.preview import Preview, in_bytes

__all__ = ["Preview", "in_bytes", "preview_input"]
