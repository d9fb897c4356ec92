"""What a step expects, and how it says that something else was seen."""


class OtherwiseError(Exception):
    """Something was not as it should be; both sides in words."""

    def __init__(self, expected: str, seen: str) -> None:
        super().__init__(f"expected {expected}, saw {seen}")
        self.expected = expected
        self.seen = seen


def expect(what: str, wanted: object, seen: object) -> None:
    """Raise OtherwiseError unless the two are equal."""
    if wanted != seen:
        raise OtherwiseError(f"{what}: {wanted}", str(seen))


def expect_in(what: str, part: str, whole: str) -> None:
    """Raise OtherwiseError unless `part` stands in `whole`."""
    if part not in whole:
        raise OtherwiseError(f"{what} containing {part}", whole or "nothing")


def expect_not_in(what: str, part: str, whole: str) -> None:
    """Raise OtherwiseError if `part` stands in `whole`."""
    if part in whole:
        raise OtherwiseError(f"{what} without {part}", whole)
