"""The summary page is whole in itself, escapes what it is given, and asks for nothing."""

from base64 import b64decode
from html.parser import HTMLParser

import pandas as pd
import pytest
from matplotlib.figure import Figure

from fundus_ml.errors import InputError
from fundus_ml.figures import figure_png
from fundus_ml.pages.template import Link, Section, audit_page, summary_page

VOID = {"meta", "img", "link", "br", "hr", "input"}


class Page(HTMLParser):
    """Tags with their attributes, the text of each, and whether every tag is closed in order."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.open, self.words = [], [], {}
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attributes):
        """Keep the tag."""
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        """Close the last open tag, which must be this one."""
        assert self.open.pop() == tag

    def handle_data(self, data):
        """Keep the words under the innermost tag."""
        if self.open and data.strip():
            self.words.setdefault(self.open[-1], []).append(data.strip())

    def all(self, tag):
        """Attributes of every such tag."""
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture
def png():
    """A real figure's content."""
    return figure_png(Figure(figsize=(1, 1)), dpi=20)


@pytest.fixture
def make_page(png):
    """Render a page with defaults."""

    def build(**changes):
        given = {
            "title": "Demo run",
            "headline": {"clean AUROC": "0.978 (0.961 to 0.990)"},
            "tables": {"Success": pd.DataFrame({"model": ["robust"], "eps": [0.5]})},
            "figures": {"ROC": (png, "ROC of both models.")},
            "links": {"run": "http://127.0.0.1:5000/#/runs/1"},
        }
        return summary_page(**given | changes)

    return build


def test_page_holds_what_it_was_given(make_page, png):
    """Title, headline, table, picture and link are all there, and every tag is closed."""
    page = Page(make_page())
    assert page.open == []
    assert page.words["title"] == page.words["h1"] == ["Demo run"]
    assert (page.words["dt"], page.words["dd"]) == (["clean AUROC"], ["0.978 (0.961 to 0.990)"])
    assert page.words["th"] == ["model", "eps"]
    assert page.words["td"] == ["robust", "0.500"]
    (image,) = page.all("img")
    assert b64decode(image["src"].removeprefix("data:image/png;base64,")) == png
    assert image["alt"] == "ROC of both models."
    assert page.words["figcaption"] == ["ROC of both models."]
    assert [link["href"] for link in page.all("a")] == ["http://127.0.0.1:5000/#/runs/1"]


def test_page_asks_for_nothing(make_page):
    """No tag loads anything, and the policy forbids it to the browser as well."""
    page = Page(make_page())
    assert not {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object", "base"}
    assert all(image["src"].startswith("data:") for image in page.all("img"))
    (style,) = page.words["style"]
    assert "url(" not in style
    assert "@import" not in style
    policies = [meta["content"] for meta in page.all("meta") if "http-equiv" in meta]
    assert policies == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


def test_every_value_is_escaped(make_page, png):
    """Markup in any value is shown, not obeyed, and cannot leave an attribute."""
    evil = '"><script>alert(1)</script>'
    page = Page(
        make_page(
            title=evil,
            headline={evil: evil},
            tables={evil: pd.DataFrame({evil: [evil]})},
            figures={evil: (png, evil)},
            links={evil: evil},
        )
    )
    assert page.all("script") == []
    assert page.words["h1"] == page.words["dt"] == page.words["th"] == page.words["td"] == [evil]
    assert page.all("img")[0]["alt"] == evil


@pytest.mark.parametrize(
    ("address", "followed"),
    [
        ("https://example.org/a?b=1&c=2", True),
        ("modulation/index.html", True),
        ("file:///srv/out/summary.json", True),
        ("models:/fundus-sex@robust", False),
        ("javascript:alert(1)", False),
        ("JavaScript:alert(1)", False),
        (" javascript:alert(1)", False),
        ("java\nscript:alert(1)", False),
        ("data:text/html,x", False),
    ],
)
def test_only_addresses_a_browser_may_open_are_links(make_page, address, followed):
    """A model's address is text; a script never becomes a link."""
    page = Page(make_page(links={"there": address}))
    assert [link["href"] for link in page.all("a")] == ([address] if followed else [])


def test_a_page_opens_with_its_verdict_and_what_shows_it(make_page, png):
    """Both stand above the numbers; the grounds follow, figures before tables."""
    html = make_page(verdict="The disc.", picture=(png, "Three eyes."))
    page = Page(html)
    assert page.words["p"] == ["The disc."]
    assert page.words["figcaption"] == ["Three eyes.", "ROC of both models."]
    places = [html.index(f">{words}<") for words in ("The disc.", "Three eyes.", "clean AUROC")]
    places += [html.index(f"<h2>{heading}</h2>") for heading in ("ROC", "Success")]
    assert places == sorted(places)
    assert "p" not in Page(make_page()).words


def test_a_cell_may_lead_somewhere(make_page):
    """By the rules of every other address: what must not be opened is its words alone."""
    cells = [Link("train 1", "http://127.0.0.1:5000/#/runs/1"), Link("x", "javascript:alert(1)")]
    page = Page(make_page(tables={"t": pd.DataFrame({"name": [*cells, "odir"]})}, links={}))
    assert [link["href"] for link in page.all("a")] == ["http://127.0.0.1:5000/#/runs/1"]
    assert page.words["a"] == ["train 1"]
    assert page.words["td"] == ["x", "odir"]


def test_table_columns_share_one_format(make_page):
    """Fractions get the digits their column needs; a gap is n/a; numbers stand to the right."""
    table = pd.DataFrame(
        {
            "model": ["clean", None],
            "success": [0.60591, 0.0175],
            "rms": [0.00225, 0.0045],
            "seconds": [312.4, float("nan")],
            "eyes": [24, 7],
            "planted": [True, False],
            "zero": [0.0, 0.0],
        }
    )
    page = Page(make_page(tables={"t": table}))
    assert page.words["td"] == [
        *("clean", "0.606", "0.00225", "312", "24", "yes", "0"),
        *("n/a", "0.018", "0.00450", "n/a", "7", "no", "0"),
    ]
    right = [cell.get("class") == "number" for cell in page.all("th")]
    assert right == [False, True, True, True, True, False, True]


def test_empty_sections_leave_no_heading(make_page):
    """Without links, tables or figures the page is its title alone."""
    page = Page(make_page(headline={}, tables={}, figures={}, links={}))
    assert "h2" not in page.words
    assert page.words["h1"] == ["Demo run"]


def test_page_is_light_dark_and_printable(make_page):
    """One style serves all three."""
    style = "".join(Page(make_page()).words["style"])
    assert "prefers-color-scheme: dark" in style
    assert "@media print" in style


def test_figures_are_checked(make_page, png):
    """Only a PNG with a caption is shown."""
    with pytest.raises(InputError, match="'ROC' is not a PNG"):
        make_page(figures={"ROC": (b"GIF89a", "caption")})
    with pytest.raises(InputError, match="'ROC' has no caption"):
        make_page(figures={"ROC": (png, " ")})


@pytest.fixture
def make_audit_page():
    """Render an audit's page with defaults."""

    def build(**changes):
        given = {
            "title": "Audit of odir",
            "verdicts": ["Age: predicts sex.", "Nobody leaks."],
            "shortcut_baseline": "Above 0.570.",
            "headline": {"eyes": "7"},
            "sections": [],
        }
        return audit_page(**given | changes)

    return build


def test_an_audit_opens_with_verdicts_and_floor(make_audit_page, png):
    """Sections follow in their order, each with its words, its picture, its table."""
    table = pd.DataFrame({"reason": ["x" * 70, "short"], "eyes": [3, 4]})
    sections = [
        Section(heading="Forest", figure=png, caption="All of them."),
        Section(heading="Rejected", words="By reason.", table=table),
    ]
    page = Page(make_audit_page(sections=sections))
    assert page.open == []
    assert page.words["p"] == ["Age: predicts sex.", "Nobody leaks.", "Above 0.570.", "By reason."]
    assert page.words["h2"] == ["Forest", "Rejected"]
    assert page.words["td"] == ["x" * 70, "3", "short", "4"]
    assert [cell.get("class") for cell in page.all("td")] == ["words", "number"] * 2
    assert [image["alt"] for image in page.all("img")] == ["All of them."]


def test_an_audit_escapes_what_it_is_given(make_audit_page):
    """Reasons and camera names come from files: they are shown, not obeyed."""
    evil = '"><script>alert(1)</script>'
    section = Section(heading=evil, words=evil, table=pd.DataFrame({evil: [evil]}))
    page = Page(
        make_audit_page(
            title=evil,
            verdicts=[evil],
            shortcut_baseline=evil,
            headline={evil: evil},
            sections=[section],
        )
    )
    assert page.all("script") == []
    assert page.words["p"] == [evil] * 3
    assert page.words["td"] == page.words["th"] == page.words["h2"] == [evil]


def test_the_figures_of_an_audit_are_checked(make_audit_page, png):
    """As those of a summary."""
    with pytest.raises(InputError, match="'F' is not a PNG"):
        make_audit_page(sections=[Section(heading="F", figure=b"GIF89a", caption="c")])
    with pytest.raises(InputError, match="'F' has no caption"):
        make_audit_page(sections=[Section(heading="F", figure=png)])
