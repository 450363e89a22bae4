"""A card says the same as Markdown and as a page, and escapes what others wrote."""

from fundus_ml.pages import ModelCard, Score, card_markdown, card_page

CARD = ModelCard(
    title="fundus-amd, version 3",
    uri="models:/fundus-amd/3",
    verdict="Reads amd beyond what shortcuts reach (0.686, age).",
    asked="Question: amd.",
    positive="amd",
    answers_photographs=True,
    scores=[Score("AUROC, per eye", "0.859", "0.725 to 0.954")],
    lines={"Training": "clean, labels true", "evaluate 1234": "<b>odir</b>"},
    limits=["No medical device.", "One release."],
)


def test_markdown_holds_every_part_once():
    text = card_markdown(CARD)
    for part in (
        "# fundus-amd, version 3\n",
        f"**{CARD.verdict}**",
        "| AUROC, per eye | &emsp;0.859 | &emsp;0.725 to 0.954 |",
        "- **Training**: clean, labels true",
        'mlflow.pyfunc.load_model("models:/fundus-amd/3")',
        "# probability of amd, or why it was refused",
        "**Limits.** No medical device. One release.",
    ):
        assert text.count(part) == 1, part


def test_a_version_that_answers_no_photographs_is_loaded_as_a_classifier():
    text = card_markdown(ModelCard(**{**vars(CARD), "answers_photographs": False}))
    assert 'tracking.load_classifier("models:/fundus-amd/3")' in text
    assert "pyfunc" not in text


def test_the_page_says_it_too_and_escapes():
    page = card_page(CARD)
    for part in (CARD.verdict, "0.725 to 0.954", "clean, labels true", "One release."):
        assert part in page
    assert "<b>odir</b>" not in page
    assert "&lt;b&gt;odir&lt;/b&gt;" in page


def test_a_card_without_scores_is_still_a_page():
    bare = ModelCard(**{**vars(CARD), "scores": [], "limits": []})
    assert "**Limits.**" not in card_markdown(bare)
    assert CARD.verdict in card_page(bare)
