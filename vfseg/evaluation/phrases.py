"""What is said of a spine, in English and in Japanese: one table.

A phrase is a format string; a word that the lists hold, such as "upper endplate", is its own key,
and one that is not in the table is said as it is. Numbers within such words stand as # in the key.
"""

import re

LANGUAGES = ("en", "ja")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")

PHRASES: dict[str, tuple[str, str]] = {
    "sentence": (
        "{level}: {answer}{probability}. {heights}; {map}.",
        "{level}：{answer}{probability}。{heights}、{map}。",
    ),
    "name uncertain": ("{level} (name uncertain)", "{level}（レベル不確実）"),
    "probability of it": (" ({probability:.2f})", "（{probability:.2f}）"),
    "no vertebra asks": (
        "No sign of a fracture in {count} vertebrae.",
        "{count} 椎体に骨折の所見なし。",
    ),
    "one vertebra, no sign": (
        "No sign of a fracture in {count} vertebra.",
        "{count} 椎体に骨折の所見なし。",
    ),
    "heights not measured": ("Heights not measured ({why})", "椎体高は計測不能（{why}）"),
    "no loss": ("No loss of height", "椎体高の減少なし"),
    "small loss": (
        "Height loss {loss:.0f} % ({site}), Genant 0",
        "椎体高減少 {loss:.0f} %（{site}）、Genant 分類 0",
    ),
    "loss": (
        "Height loss {loss:.0f} % ({site}), Genant {grade}, range {low}-{high}",
        "椎体高減少 {loss:.0f} %（{site}）、Genant 分類 {grade}（範囲 {low}-{high}）",
    ),
    "no lesion": (
        "map: no lesion of {least:g} mL{specks}",
        "マップ：{least:g} mL 以上の病変なし{specks}",
    ),
    "specks": (", specks of {volume:.2f} mL", "（微小域 {volume:.2f} mL）"),
    "lesions": ("map {volume:.2f} mL{place}{more}", "マップ {volume:.2f} mL{place}{more}"),
    "more": (" and {count} more", "、ほか {count} か所"),
    "in the arch": (" in the arch, {side}", "、椎弓（{side}）"),
    "in the middle": (" in the middle of the body", "、椎体中央"),
    "at an endplate": (" at the {height}", "、{height}"),
    # Words of the lists.
    "fracture likely": ("fracture likely", "骨折の可能性が高い"),
    "review": ("review", "要確認"),
    "no sign": ("no sign", "所見なし"),
    "map": ("map", "マップ"),
    "heights": ("heights", "椎体高"),
    "map and heights": ("map and heights", "マップと椎体高"),
    "anterior": ("anterior", "前方"),
    "middle": ("middle", "中央"),
    "posterior": ("posterior", "後方"),
    "arch": ("arch", "椎弓"),
    "upper endplate": ("upper endplate", "上位終板"),
    "lower endplate": ("lower endplate", "下位終板"),
    "left": ("left", "左"),
    "central": ("central", "正中"),
    "right": ("right", "右"),
    "cut": ("cut", "撮影範囲外に続く"),
    "fragment": ("fragment", "一部のみ"),
    "transitional": ("transitional", "移行椎の可能性"),
    "uncertain": ("name uncertain", "レベル不確実"),
    "found": ("found by the program", "自動検出"),
    "no label map": ("no label map", "ラベルマップなし"),
    "only a fragment is labelled": ("only a fragment is labelled", "一部のみがラベルされている"),
    "cut by the border of the CT": ("cut by the border of the CT", "CT の端で切れている"),
    "slices # mm apart": ("slices # mm apart", "スライス間隔 # mm"),
    # Groups of the tables of an evaluation, and parts of a data set.
    "endplate": ("endplate", "終板骨折"),
    "split": ("split", "割裂骨折"),
    "burst": ("burst", "破裂骨折"),
    "across slices": ("across slices", "帯状（複数スライスで判別）"),
    "unknown": ("unknown", "不明"),
    "Q#: # to # mL": ("Q#: # to # mL", "Q#：#～# mL"),
    "test": ("test", "テスト"),
    "out of fold": ("out-of-fold", "交差検証（out of fold）"),
    "train": ("train", "学習"),
    "validation": ("validation", "検証"),
    "run": ("run", "実行"),
}


def phrase(language: str, key: str, **values: str | float) -> str:
    """A phrase in a language, filled with values; a word that the table lacks, as it is.

    Args:
        language: one of `LANGUAGES`.
        key: of the phrase, or a word of the lists.
        values: that the phrase names.

    >>> phrase("ja", "upper endplate"), phrase("en", "more", count=2), phrase("ja", "T12")
    ('上位終板', ' and 2 more', 'T12')
    """
    found = PHRASES.get(key)
    return key if found is None else found[LANGUAGES.index(language)].format(**values)


def listed_words(language: str, words: str) -> str:
    """Words that a list holds, with numbers in them, in a language; others as they are.

    Args:
        language: one of `LANGUAGES`.
        words: as the list has them.

    >>> listed_words("ja", "slices 5.5 mm apart"), listed_words("ja", "T12")
    ('スライス間隔 5.5 mm', 'T12')
    """
    key = _NUMBER.sub("#", words)
    if key not in PHRASES or "{" in PHRASES[key][0]:  # a phrase is no word
        return words
    numbers = iter(_NUMBER.findall(words))
    return re.sub("#", lambda _: next(numbers), phrase(language, key))
