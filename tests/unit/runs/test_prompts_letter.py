"""The picture of what an attacker reads: read words are text, others are bars."""

from xml.etree import ElementTree

from coterie.runs.prompts_letter import letter

SVG = "{http://www.w3.org/2000/svg}"


def test_read_words_stand_there_and_others_are_barred():
    read = {"wish": "Glowing signs, at <night>.", "states": "glowing sign at night", "found": ["signs"]}
    blind = {"wish": read["wish"], "states": "", "found": []}
    tree = ElementTree.fromstring(letter({"plain": [read], "noise": [blind]}))
    words = [text.text for text in tree.iter(f"{SVG}text") if text.get("class") == "read"]
    assert words == ["Glowing", "at", "<night>.", "signs,"]
    assert len([bar for bar in tree.iter(f"{SVG}rect") if bar.get("class") == "bar"]) == 2 * 2 * 4 - len(words)


def test_a_long_wish_is_cut_at_a_word():
    wish = " ".join(["watercolour"] * 30)
    tree = ElementTree.fromstring(letter({"plain": [{"wish": wish, "states": wish, "found": []}]}))
    assert int(tree.get("width")) < 1100
    assert len([1 for text in tree.iter(f"{SVG}text") if text.get("class") == "read"]) == 7
