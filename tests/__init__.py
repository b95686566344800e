"""A package, since pipelines of tests are imported by workers, and IPython 7 brings a module `tests` too."""
