"""Text of files, archives and servers as a terminal may show it."""

LONGEST = 2000  # characters; a name in an archive may have 65,000


def one_line(text: object) -> str:
    """The text in one line, without what steers a terminal or turns the order of letters: that is
    shown as Python writes it, `\\x1b` say."""
    plain = "".join(
        letter if letter.isprintable() or letter in "\n\t" else ascii(letter)[1:-1]
        for letter in str(text)
    )
    line = " ".join(plain.split())
    return line if len(line) <= LONGEST else f"{line[:LONGEST]} …"
