"""``python -m foregsyte_kaggle``: the command for a shell."""

import sys

from foregsyte_kaggle.shell import main

if __name__ == "__main__":
    sys.exit(main())
