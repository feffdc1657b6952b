"""The code as it was is found in the history, or the rows that need it are left out by name."""

from tests.bench import before


def test_a_copy_without_history_says_so(tmp_path, monkeypatch):
    """A released archive has no history: the rows are skipped, and tell why."""
    monkeypatch.setattr(before, "ROOT", tmp_path)
    assert before.unpacked(tmp_path / "before") == f"no git history with {before.COMMIT} here"
    assert not (tmp_path / "before").exists()
