"""What people see: headings, exchanges, reasons, verdicts. Colours and spinners on a terminal, plain text elsewhere."""

import sys
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.rule import Rule
from rich.text import Text
from rich.tree import Tree

from extauthz.demo.traces import Branch

INDENT: Final = "   "
PLAIN_WIDTH: Final = 100
"""Of rules where the output is no terminal; text itself is never cut or wrapped there."""

SHOWN_ATTRIBUTES: Final = ("extauthz.", "mcp.", "gen_ai.", "jsonrpc.", "ext_authz_status", "http.status_code")
"""Which span attributes say something about the decision."""


class Narrator:
    """Writes to standard output."""

    def __init__(self, console: Console | None = None) -> None:
        if console is None:
            reconfigure = getattr(sys.stdout, "reconfigure", None)
            if reconfigure is not None:
                reconfigure(errors="replace")  # an ASCII terminal shows `?`, and the demo goes on
            console = Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH, highlight=False)
        self._console = console

    def line(self, text: str = "", style: str = "") -> None:
        """One line, never wrapped by us: addresses and headers stay whole for copying."""
        self._console.print(Text(text, style=style), soft_wrap=True)

    def title(self, text: str, below: str) -> None:
        """The head of the whole."""
        self.line(text, "bold")
        self.line(below, "dim")

    @contextmanager
    def starting(self, text: str) -> Iterator[None]:
        """Something that takes a moment: a spinner, where there is a terminal."""
        self.section(text)
        with self._console.status(Text(f"{text} …")):
            yield

    def section(self, text: str) -> None:
        """A heading without a number."""
        self.line()
        self.line(text, "bold")

    def ready(self, name: str, where: str) -> None:
        """A part of the system is up."""
        self._console.print(Text.assemble(("  ✓ ", "green"), f"{name:<16}", (where, "cyan")), soft_wrap=True)

    def policy(self, text: str) -> None:
        """Show the policy file."""
        shown = Text(text.rstrip())
        shown.highlight_regex(r"(?m)^[ -]*[\w:-]+:(?= |$)", "cyan")
        shown.highlight_regex(r"(?m)(?<= )#.*$", "dim")
        self._console.print(shown, soft_wrap=True)

    def step(self, number: int, title: str) -> None:
        """Begin a step."""
        self._console.print()
        self._console.print(Rule(Text(f"{number}  {title}", style="bold"), align="left", style="dim"))

    def why(self, text: str) -> None:
        """Explain, in a paragraph that is wrapped to the width."""
        for line in textwrap.wrap(text, min(self._console.width, PLAIN_WIDTH)):
            self.line(line, "dim")

    def sent(self, what: str, detail: str = "") -> None:
        """What went out."""
        shown = Text.assemble(("→ ", "blue bold"), what)
        if detail:
            shown.append("  " + detail, "cyan")
        self._console.print(shown, soft_wrap=True)

    def answered(self, status: str, *, good: bool, headers: Mapping[str, str] | None = None, body: str = "") -> None:
        """What came back: the status, the headers that matter, and a line of the body."""
        style = "green bold" if good else "yellow bold"
        self._console.print(Text.assemble(("← ", "blue bold"), (status, style)), soft_wrap=True)
        for name, value in (headers or {}).items():
            self._console.print(Text.assemble(INDENT, (f"{name}: ", "magenta"), value), soft_wrap=True)
        if body:
            self.line(INDENT + body)

    def operator(self, text: str) -> None:
        """What the service's own log says of it, which the client is not told."""
        self._console.print(Text.assemble(INDENT, ("operator sees: ", "magenta"), (text, "dim")), soft_wrap=True)

    def as_expected(self) -> None:
        """The step went as it should."""
        self.line("✓ as expected", "green")

    def otherwise(self, expected: str, seen: str) -> None:
        """The step did not."""
        self.line("✗ this went otherwise", "red bold")
        self.line(f"{INDENT}expected: {expected}", "red")
        self.line(f"{INDENT}seen:     {seen}", "red")

    def trace(self, branches: tuple[Branch, ...]) -> None:
        """Spans as a tree."""
        for branch in branches:
            self._console.print(_tree(branch), soft_wrap=True)

    def error(self, text: str) -> None:
        """Why nothing goes on."""
        self._console.print(Text.assemble(("extauthz demo: ", "red bold"), text), soft_wrap=True)


def _tree(branch: Branch, above: Tree | None = None) -> Tree:
    span = branch.span
    label = Text.assemble((span.name, "bold"), f"  {span.service}", (f"  {span.duration_ms:.2f} ms", "cyan"))
    for name, value in sorted(span.attributes.items()):
        if name.startswith(SHOWN_ATTRIBUTES):
            label.append(f"\n{name} = {value}", "dim")
    node = Tree(label) if above is None else above.add(label)
    for child in branch.children:
        _tree(child, node)
    return node
