"""Licences: whoever ships the image must know what they ask for."""

import pytest

from tests.deploy.licences import PINNED, judged, main, pinned


@pytest.mark.parametrize(
    ("told", "verdict"),
    [
        ("Apache-2.0", ""),
        ("MPL-2.0 AND (Apache-2.0 OR MIT)", ""),
        ("GNU Affero General Public License v3", "asks for more"),
        ("LGPL-2.1-only", "asks for more"),
        ("", "not told"),
        ("Our own", "not known"),
    ],
)
def test_what_asks_for_more_is_told(told, verdict):
    """Licences that ask for more than to be named, or tell nothing, are findings."""
    assert judged(told) == verdict


def test_every_pinned_package_has_a_permissive_licence(capsys):
    """What is installed asks for no more than to be named."""
    assert main() == 0, capsys.readouterr().out
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert names == [one.name for one in pinned(PINNED.read_text())]
    assert "bytewax" in names
