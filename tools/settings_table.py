"""The README's table of settings, made from the configuration's own docstrings.

`python -m tools.settings_table` writes it between the README's two marks.
"""

from __future__ import annotations

from pathlib import Path

from mesh.config import Config, value_of
from mesh.config.document import in_words
from mesh.config.sections import every_setting

README = Path(__file__).parents[1] / "README.md"
BEGIN = "<!-- settings: begin (checked by tests/readme) -->\n"
END = "<!-- settings: end -->"


def render() -> str:
    """The table in Markdown: key, default, meaning."""
    rows = ["| setting | default | meaning |", "|---|---|---|"]
    config = Config()
    for key, rule in every_setting():
        default = in_words(rule, value_of(config, key))
        shown = ", ".join(map(str, default)) if isinstance(default, (list, tuple)) else default
        shown = "" if shown is None else str(shown).lower() if isinstance(shown, bool) else shown
        rows.append(f"| `{key}` | {f'`{shown}`' if shown != '' else ''} | {rule.help} |")
    return "\n".join(rows) + "\n"


def main() -> None:
    """Rewrite the README's table."""
    text = README.read_text()
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    README.write_text(before + BEGIN + render() + END + after)


if __name__ == "__main__":
    main()
