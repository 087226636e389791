"""Which Dungeon Crawl tiles the studio takes, by group, and what they show: creatures and things one can name."""

from __future__ import annotations

_NAMES = {
    "animals": """adder|alligator snapping turtle|basilisk|bat|black bear|boulder beetle|butterfly|catoblepas|death yak
        |elephant|elephant slug|emperor scorpion|fire crab|ghost moth|giant cockroach|giant frog|giant leech|giant newt
        |hog|hound|iguana|jackal|killer bee|polar bear|queen ant|quokka|raiju|redback|scorpion|sheep|snapping turtle
        |spider|spiny frog|vampire mosquito|wolf|worm|yak|yellow wasp|electric eel|shark|lava snake|griffon|hippogriff
        |wyvern|sea snake|caustic shrike|anaconda|ball python|brain worm|tarantella|apocalypse crab|ice beast
        |microbat|hydra|kraken head|ice dragon|golden dragon|swamp dragon|storm dragon|manticore|sphinx""",
    "monsters": """cyclops|death knight|dryad|dwarf|ettin|faun|fire giant|frost giant|gnoll|goblin|naga|harpy|hill giant
        |hobgoblin|iron troll|kobold|merfolk|necromancer|ogre|orc|orc wizard|salamander|satyr|siren|tengu|titan
        |treant|wandering mushroom|deathcap|angel|cherub|apis|jelly|azure jelly|death ooze|giant eyeball|golden eye
        |great orb of eyes|shining eye|balrug|blizzard demon|blue devil|red devil|crimson imp|white imp|efreet|rakshasa
        |reaper|smoke demon|lich|ghost|ghoul|jiangshi|phantom|shadow|vampire|wight|skeletal warrior|bone dragon
        |flying skull|air elemental|earth elemental|fire elemental|water elemental|electric golem|iron golem|flesh golem
        |ushabti|spriggan|unseen horror|halfling|human|elf|juggernaut|killer klown red|formicid|yaktaur|water nymph
        |two headed ogre|thorn hunter|firespitter statue|hell sentinel|ice devil|soul eater|sun demon|tormentor|daeva
        |skeleton fish|skeleton snake|skeleton bat|ball lightning|orb of fire|dimme""",
    "gear": """bullwhip|club|dagger|dire flail|double sword|falchion|flail|giant club|giant spiked club|greatsword
        |hand axe|long sword|mace|morningstar|quarterstaff|rapier|scimitar|scythe|short sword|spear|triple sword
        |arbalest|blowgun|hand crossbow|longbow|shortbow|sling|throwing net|steel tomahawk
        |boots brown|boots green|cloak|glove|leather armour|plate|ring mail|robe|scale mail
        |cap jester|hat|helmet|elven leather helm|buckler|shield
        |large shield|animal skin|gold dragon armour|misc horn|misc fan|training dummy|centaur barding red""",
    "treasure": """apple|apricot|banana|beef jerky|bread ration|choko|grape|lemon|lump of royal jelly|lychee|meat ration
        |orange|pear|pizza|rambutan|snozzcumber|strawberry|misc box|misc crystal|misc deck|misc disc|misc lamp
        |misc lantern|misc orb|misc phial|misc phantom mirror|scroll-blue|ruby|golden|gem gold|gem ivory|gem bone
        |rune elven|rune spider|rune swamp|rune demonic|book of the dead|manual|parchment|celtic blue|cameo orange
        |crystal green|eye cyan|penta orange|stone pink|bush|obelisk|block of ice|pillar of salt
        |bone gray|buckle|tourmaline""",
}
_KINDS = {"ruby": "potion", "golden": "potion", "tourmaline": "ring", "buckle": "book"}
_KINDS |= dict.fromkeys(("gem gold", "gem ivory", "gem bone"), "wand")
_THINGS = {
    "celtic": "amulet",
    "cameo": "amulet",
    "eye": "amulet",
    "penta": "amulet",
    "stone": "amulet",
    "bone": "amulet",
}

TILES = {
    group: [(_KINDS.get(name.strip(), ""), name.strip()) for name in names.split("|")]
    for group, names in _NAMES.items()
}
"""By group, the folder of the tile where its name alone is not enough, and its name."""

_COLOURS = {
    "blue",
    "brown",
    "green",
    "red",
    "orange",
    "cyan",
    "pink",
    "gray",
    "gold",
    "ivory",
    "bone",
    "elven",
    "jester",
}
_KIN = {
    "snake": "adder|anaconda|ball python|lava snake|sea snake|skeleton snake|naga|salamander",
    "spider": "redback|spider|tarantella|rune spider",
    "turtle": "alligator snapping turtle|snapping turtle",
    "ox": "catoblepas|death yak|yak|yaktaur|apis",
    "dog": "hound|jackal|wolf|gnoll",
    "pig": "hog",
    "bird": "caustic shrike|tengu|harpy",
    "eagle": "griffon|hippogriff",
    "bat": "bat|microbat|skeleton bat",
    "fish": "electric eel|skeleton fish|shark",
    "dragon": "wyvern|hydra|basilisk",
    "lizard": "iguana|giant newt",
    "bee": "killer bee|yellow wasp",
    "mushroom": "wandering mushroom|deathcap",
    "tree": "treant|dryad|thorn hunter|bush",
    "eye": "giant eyeball|golden eye|great orb of eyes|shining eye|eye cyan",
    "ghost": "ghost|phantom|shadow|unseen horror|smoke demon|air elemental",
    "giant": "ettin|fire giant|frost giant|hill giant|titan|cyclops|two headed ogre|ogre",
    "orc": "orc|orc wizard",
    "goblin": "goblin|hobgoblin|kobold",
    "jelly": "jelly|azure jelly|death ooze",
    "devil": "blue devil|red devil|ice devil",
    "imp": "crimson imp|white imp",
    "undead": "ghoul|wight|jiangshi|skeletal warrior|lich|vampire|necromancer",
    "small folk": "dwarf|halfling|human|elf|spriggan",
    "merfolk": "merfolk|siren|water nymph",
    "angel": "angel|cherub|daeva",
    "sword": "double sword|falchion|greatsword|long sword|rapier|scimitar|short sword|triple sword|dagger",
    "club": "club|giant club|giant spiked club|mace|morningstar|quarterstaff",
    "flail": "dire flail|flail|bullwhip",
    "axe": "hand axe|steel tomahawk",
    "bow": "arbalest|hand crossbow|longbow|shortbow",
    "armour": "leather armour|plate|ring mail|scale mail|gold dragon armour|animal skin|robe|cloak|centaur barding red",
    "hat": "cap jester|hat|helmet|elven leather helm",
    "shield": "buckler|shield|large shield",
    "book": "book of the dead|manual|parchment|buckle",
    "fruit": "choko|lychee|rambutan|apricot",
    "amulet": "celtic blue|cameo orange|penta orange|stone pink|bone gray|crystal green",
    "lamp": "misc lamp|misc lantern",
    "meat": "beef jerky|meat ration",
    "wand": "gem gold|gem ivory|gem bone",
    "orb": "misc orb|orb of fire|ball lightning",
}
_SUBJECTS = {name: subject for subject, names in _KIN.items() for name in names.split("|")}


def tile_subject(kind: str, name: str) -> str:
    """What the tile shows, one word for all that look alike; the emoji's word where there is one."""
    word = kind or name.removeprefix("misc ").replace("-", " ").split()[-1]
    return (
        _SUBJECTS.get(name)
        or {"blue": "scroll", "head": "octopus"}.get(word)
        or (name.split()[0] if name.split()[0] in {"rune", "boots"} else word)
    )


def tile_caption(kind: str, name: str) -> str:
    """The tile's name as one would say it: `boots brown` becomes `brown boots`, `ruby` of the potions `ruby potion`."""
    words = name.removeprefix("misc ").replace("-", " ").split()
    if (len(words) == 2 and words[1] in _COLOURS) or words[0] in {"gem", "rune", "cap"}:
        words.reverse()
    if words[-1] == "red":
        words.insert(0, words.pop())
    thing = kind or (_THINGS.get(name.split()[0], "") if name != "orb" else "")
    return " ".join([*words, thing]).strip()
