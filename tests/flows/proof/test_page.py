"""The page of a proof: complete without a script, readable on a desk, a phone and paper, by day and night."""

import base64
import os
import re
from html.parser import HTMLParser
from pathlib import Path

from flows.proof.page import page
from flows.proof.proof import Proof
from flows.status.page import csp_hash, style
from tests.fakes.chromium import Chromium
from tests.flows.proof.pages import START, sample

SIZES = (("phone", 390, 844), ("desk", 1280, 800))


class Read(HTMLParser):
    """What a document is made of."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.open = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in {"src", "href"}]
        assert not [name for name, _ in attrs if name.startswith("on") or name == "style"]


def test_a_page_needs_no_script_and_nothing_from_elsewhere():
    """Its policy allows this style and nothing else; names of objects are text, whatever they are."""
    text = page(sample())
    read = Read(text)
    assert "script" not in read.tags
    assert read.links == ["data:,"]
    assert f"style-src '{csp_hash(style('flows.proof'))}'" in text
    assert "default-src 'none'" in text
    assert "<b>.json.gz" not in text
    assert "&lt;b&gt;.json.gz" in text


def test_a_page_tells_each_gap_with_its_cure():
    """Below each kind of gap stands what to do, then each of them."""
    proof = sample()
    text = page(proof)
    for gap in proof.gaps:
        assert gap.cure.replace("'", "&#x27;") in text
        assert gap.day in text
    assert "Not complete" in text


def test_a_page_of_nothing():
    """A day without objects is told as that."""
    text = page(Proof("flowlogs", START, START, START, ("s3://b/",), ()))
    assert "Nothing was there to be delivered" in text


def test_the_page_in_chromium(tmp_path):
    """Nothing sticks out, nothing complains, in each size and light; on paper it has few pages."""
    shots = Path(os.environ.get("PROOF_SHOTS") or tmp_path)
    (tmp_path / "proof.html").write_text(page(sample()))
    with Chromium(tmp_path / "chromium") as browser:
        for size, width, height in SIZES:
            for dark in (False, True):
                tab = browser.open((tmp_path / "proof.html").as_uri(), width=width, height=height, dark=dark)
                tab.shot(shots / f"proof-{size}-{'dark' if dark else 'light'}.png")
                assert tab.run("document.documentElement.scrollWidth") <= width
                assert tab.complaints == []
                luminous = tab.run("getComputedStyle(document.body).backgroundColor")
                assert (max(map(int, re.findall(r"\d+", luminous))) < 64) == dark
                assert "Proof of delivery: audits_s3" in tab.text()
        printed = tab.ask("Page.printToPDF", preferCSSPageSize=True, paperWidth=8.27, paperHeight=11.69)
        paper = base64.b64decode(printed["data"])
        (shots / "proof.pdf").write_bytes(paper)
        assert paper.startswith(b"%PDF")
