"""One tokens file, contrast AA in both schemes, no inline script or style, every control and picture named."""

import re
from pathlib import Path

import pytest

import petla.web

WEB = Path(petla.web.__file__).parent
TEMPLATES = sorted((WEB / "templates").glob("*.html"))
STYLESHEET = (WEB / "assets" / "petla.css").read_text("utf-8")
TOKENS = (WEB / "assets" / "tokens.css").read_text("utf-8")
PAIR = re.compile(r"--([a-z-]+): light-dark\(#([0-9a-f]{6}), #([0-9a-f]{6})\)")
COLOURS = {name: (light, dark) for name, light, dark in PAIR.findall(TOKENS)}

GROUNDS = ("ground", "surface", "sunken")
TEXT_ON_GROUND = [
    *((text, ground) for text in ("ink", "ink-soft", "accent", "accent-strong", "bad") for ground in GROUNDS),
    *((tone, f"{tone}-soft") for tone in ("good", "warm", "bad", "calm", "accent")),
    ("ink", "accent-soft"),
    ("ink-soft", "accent-soft"),
    ("on-accent", "accent"),
    ("on-accent", "accent-strong"),
]
# lines that carry meaning: borders of controls, curves, stops
LINES_ON_GROUND = [(line, ground) for line in ("line-strong", "accent", "bad") for ground in ("ground", "surface")]


def luminance(colour: str) -> float:
    """Source: W3C, Web Content Accessibility Guidelines 2.2 (2023), definition of relative luminance."""
    shares = [int(colour[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    lighter, darker = sorted((luminance(first), luminance(second)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def test_contrast_agrees_with_the_published_examples() -> None:
    assert contrast("000000", "ffffff") == pytest.approx(21)
    assert contrast("777777", "ffffff") == pytest.approx(4.48, abs=0.005)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(("text", "ground"), TEXT_ON_GROUND)
def test_text_can_be_read(text: str, ground: str, scheme: int) -> None:
    assert contrast(COLOURS[text][scheme], COLOURS[ground][scheme]) >= 4.5


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(("line", "ground"), LINES_ON_GROUND)
def test_lines_that_mean_something_can_be_seen(line: str, ground: str, scheme: int) -> None:
    assert contrast(COLOURS[line][scheme], COLOURS[ground][scheme]) >= 3


def test_colours_stand_in_the_tokens_only() -> None:
    colour = re.compile(r"#[0-9a-fA-F]{3,8}\b(?!\w*[\"'>])|\brgba?\(|\bhsla?\(")

    assert not colour.findall(STYLESHEET)
    assert not [path.name for path in TEMPLATES if re.search(r"(fill|stroke|color)=\"#", path.read_text("utf-8"))]


def test_stylesheet_uses_only_tokens_that_exist() -> None:
    known = set(re.findall(r"(--[a-z0-9-]+):", TOKENS))

    assert set(re.findall(r"var\((--[a-z0-9-]+)\)", STYLESHEET)) <= known


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_template_has_nothing_the_policy_forbids(path: Path) -> None:
    text = path.read_text("utf-8")

    assert TEMPLATES
    assert not re.findall(r"\sstyle=|\son[a-z]+=|javascript:|<style|<script(?! src=\"\{\{ asset)|\|\s*safe", text)


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_every_picture_is_named_or_hidden(path: Path) -> None:
    pictures = re.findall(r"<svg\b[^>]*>", path.read_text("utf-8"))
    # a picture inside a picture belongs to the outer one
    outer = [tag for tag in pictures if 'x="0"' not in tag]

    assert not [tag for tag in outer if "aria-hidden" not in tag and "aria-label" not in tag]


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_every_form_that_posts_carries_the_token(path: Path) -> None:
    forms = re.findall(r"<form\b(?![^>]*method=\"get\").*?</form>", path.read_text("utf-8"), re.DOTALL)

    assert not [form for form in forms if "csrf_token" not in form and "parts.token(" not in form]
