"""Which samples a worker exports, and which an expression of PromQL names: the two must fit."""

import re
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Final

from ingest.metrics import Metrics

# What a Prometheus adds itself: of each scrape `up`, to each sample the labels of its target.
OF_SCRAPES: Final = {"up": frozenset[str]()}
OF_TARGETS: Final = frozenset({"job", "instance"})

TOKEN: Final = re.compile(
    r"""(?P<skipped> \s+ | \#[^\n]* | \[[^\]]*\] | \$\w+ | \$\{[^}]*\})
    | (?P<kept> "(?:\\.|[^"\\])*" | '(?:\\.|[^'\\])*' | `[^`]*`
      | \.?\d[\w.]* | [A-Za-z_:][\w:]* | [=!]~ | [=!<>]=? | [-+*/%^@(){},])""",
    re.VERBOSE,
)
NAME: Final = re.compile(r"[A-Za-z_:][\w:]*")
GROUPINGS: Final = frozenset({"by", "without"})
MATCHINGS: Final = frozenset({"on", "ignoring"})
OTHERS: Final = frozenset({"and", "or", "unless", "atan2", "bool", "offset", "inf", "nan"})
Reference = tuple[str, set[str]]


def exported() -> Mapping[str, frozenset[str]]:
    """The labels of every sample of a worker, and of `up`, by name."""
    metrics = Metrics()
    for metric in vars(metrics).values():
        if names := getattr(metric, "_labelnames", ()):  # the client does not tell them otherwise
            metric.labels(*names)
    samples = [s for family in metrics.registry.collect() for s in family.samples]
    return {sample.name: frozenset(sample.labels) for sample in samples} | OF_SCRAPES


def named(expression: str) -> Mapping[str, frozenset[str]]:
    """The labels used with every metric, by name; `$variables` may stand where values do.

    A label is used with a metric in its own matchers, in a `by` or `without` around it, in an `on`
    or `ignoring` of the same brackets, or in a `group_left` before it. Raises `ValueError` for
    what this does not understand; it is no judge of the grammar.
    """
    tokens = deque(_tokens(expression))
    references = _references(tokens)
    if tokens:
        raise ValueError(f"a bracket too many before {' '.join(tokens)!r}")
    found: dict[str, frozenset[str]] = {}
    for metric, labels in references:
        found[metric] = found.get(metric, frozenset()) | labels
    return found


def unknown(expression: str) -> set[str]:
    """What no worker exports of it: metrics, and as `metric{label}` labels that it has not."""
    known = exported()
    used = named(expression)
    wrong = {metric for metric in used if metric not in known}
    for metric in used.keys() - wrong:
        wrong |= {f"{metric}{{{name}}}" for name in used[metric] - known[metric] - OF_TARGETS}
    return wrong


def _tokens(expression: str) -> Iterator[str]:
    place = 0
    while place < len(expression):
        match = TOKEN.match(expression, place)
        if match is None:
            raise ValueError(f"not PromQL: {expression[place:]!r}")
        if match["kept"]:
            yield match["kept"]
        place = match.end()


def _references(tokens: deque[str]) -> list[Reference]:
    """What is named up to the closing bracket, which is taken too."""
    found: list[Reference] = []
    operand: list[Reference] = []
    shared: set[str] = set()
    ahead: set[str] = set()
    previous = ""
    while tokens and (part := tokens.popleft()) != ")":
        word = part.lower()
        if word in GROUPINGS and previous == ")":
            _use(operand, _listed(tokens))
        elif word in GROUPINGS or word == "group_left":
            ahead = _listed(tokens)
        elif word in MATCHINGS:
            shared |= _listed(tokens)
        elif part == "(" or _is_metric(part, tokens):
            operand = _references(tokens) if part == "(" else [(part, _matched(tokens))]
            _use(operand, ahead)
            found += operand
            ahead = set()
        previous = ")" if part == "(" else part
    _use(found, shared)
    return found


def _is_metric(token: str, following: deque[str]) -> bool:
    """Whether it is no function, aggregation, operator, number or text."""
    if token in {"{", "group_right"}:
        raise ValueError(f"not understood: {token!r}")
    ahead = following[0].lower() if following else ""
    is_word = NAME.fullmatch(token) is not None and token.lower() not in OTHERS
    return is_word and ahead != "(" and ahead not in GROUPINGS


def _matched(tokens: deque[str]) -> set[str]:
    return _names(tokens, "}") if tokens and tokens[0] == "{" else set()


def _listed(tokens: deque[str]) -> set[str]:
    return _names(tokens, ")") if tokens and tokens[0] == "(" else set()


def _names(tokens: deque[str], end: str) -> set[str]:
    names = set()
    while (token := tokens.popleft()) != end:
        if NAME.fullmatch(token):
            names.add(token)
    return names


def _use(references: list[Reference], labels: set[str]) -> None:
    for _, used in references:
        used.update(labels)
