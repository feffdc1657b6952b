"""What `make house` prints is counted right."""

from tests import house


def test_figures_of_a_checkout(tmp_path):
    """`Any` counts where it is used, a service where it is named, files and functions by their lines."""
    (tmp_path / "flows").mkdir()
    first = '"""GuardDuty."""\nfrom typing import Any\n\n\ndef f(x: Any) -> Any:\n    return x\n'
    (tmp_path / "flows/a.py").write_text(first)
    (tmp_path / "flows/b.py").write_text(
        '"""B."""\n\n\ndef g() -> str:\n    return "guardduty:ListDetectors"\n'
    )
    found = dict(house.figures(tmp_path))
    assert found["any"] == "2, one in 5 lines"
    assert found["named by"] == "1: flows/b.py"
    assert found["files"].startswith("2 of 5.5 /")
    assert found["functions"].startswith("2 of 2 /")
    assert found["room flows"] == "2 files, 11 lines"
