"""The commands of `python -m flows`, apart from check, status and demo."""
