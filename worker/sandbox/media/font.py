"""A font of 3 by 5 pixels, for the labels of pictures."""

import unicodedata

WIDTH, HEIGHT = 3, 5

_ROWS = {
    "A": "25755", "B": "65656", "C": "34443", "D": "65556", "E": "74647", "F": "74644", "G": "34553", "H": "55755",
    "I": "72227", "J": "11152", "K": "55655", "L": "44447", "M": "57755", "N": "65555", "O": "25552", "P": "65644",
    "Q": "25563", "R": "65655", "S": "34216", "T": "72222", "U": "55557", "V": "55552", "W": "55775", "X": "55255",
    "Y": "55222", "Z": "71247", "0": "75557", "1": "26227", "2": "71747", "3": "71717", "4": "55711", "5": "74717",
    "6": "74757", "7": "71122", "8": "75757", "9": "75717", "-": "00700", "_": "00007", ".": "00002", ",": "00024",
    ":": "02020", "/": "11244", "!": "22202", "?": "71202", "'": "22000", "(": "12221", ")": "42224", "#": "57575",
    "+": "02720", "=": "07070",
}  # fmt: skip
"""Five octal digits for each character: one for each row, one bit for each pixel."""


def rows_of(text: str, scale: int) -> list[list[int]]:
    """Return the rows of a line of text as lists of x positions that are set; other characters are blank."""
    rows: list[list[int]] = [[] for _ in range(HEIGHT)]
    for position, character in enumerate(_plain(text)):
        for row, digit in enumerate(_ROWS.get(character, "00000")):
            bits = f"{int(digit):03b}"
            rows[row] += [(position * (WIDTH + 1) + x) * scale for x in range(WIDTH) if bits[x] == "1"]
    return rows


def _plain(text: str) -> str:
    """Return the text in capital letters without accents."""
    return "".join(c for c in unicodedata.normalize("NFKD", text.upper()) if not unicodedata.combining(c))
