"""The triggers: what the views need of every text is worked out once, when the text comes in.

Triggers do it, so that it also holds for rows that were put in with plain SQL. The typed API fills in what Python knows
better (case folding and word edges beyond A to Z).
"""

from collections.abc import Callable

# Every character that Unicode counts as white space, and the separators that Python's `str.strip` removes.
WHITE_SPACE = (
    "char(9,10,11,12,13,28,29,30,31,32,133,160,5760,8192,8193,8194,8195,8196,8197,8198,8199,8200,8201,8202,8232,8233,"
    "8239,8287,12288)"
)


def _folded(text: str) -> str:
    """SQL that folds A to Z and runs of white space."""
    blanks = text
    for code in (9, 10, 11, 12, 13, 160, 12288):
        blanks = f"replace({blanks}, char({code}), ' ')"
    return f"trim(replace(replace(replace(lower({blanks}), ' ', ' ' || char(1)), char(1) || ' ', ''), char(1), ''))"


def _in_word(character: str) -> str:
    """SQL that tells whether a character belongs to a word; scripts without blanks have no word edges."""
    code = f"unicode({character})"
    return (
        f"({character} GLOB '[a-z0-9_]' OR {code} >= 192 AND {code} NOT BETWEEN 3584 AND 3839"
        f" AND {code} NOT BETWEEN 8192 AND 40959 AND {code} NOT BETWEEN 44032 AND 55203 AND {code} < 65024)"
    )


def _label_of(text: str, input_id: str) -> str:
    """SQL of the label that ends last in a text (its last 2,000 characters) as whole words; NULL where none occurs.

    Every place in the text is tried: `json_each` over an array as long as the text counts them, because recursive
    queries are not allowed in triggers.
    """
    start, size = "(place.key + 1)", "length(found.needle)"
    before, after = f"substr(found.hay, {start} - 1, 1)", f"substr(found.hay, {start} + {size}, 1)"
    first, last = "substr(found.needle, 1, 1)", "substr(found.needle, -1)"
    hay = f"substr({_folded(text)}, -2000)"
    return (
        f"(SELECT found.label FROM (SELECT l.number, l.text AS label, {_folded('l.text')} AS needle, {hay} AS hay"
        f" FROM input AS i JOIN label AS l ON l.task_id = i.task_id WHERE i.id = {input_id}) AS found"
        " JOIN json_each('[' || replace(hex(zeroblob(length(found.hay))), '00', '0,') || '0]') AS place"
        f" WHERE substr(found.hay, {start}, {size}) = found.needle"
        f" AND NOT ({start} > 1 AND {_in_word(before)} AND {_in_word(first)})"
        f" AND NOT ({_in_word(last)} AND ifnull({_in_word(after)}, 0))"
        f" ORDER BY place.key + {size} DESC, {size} DESC LIMIT 1)"
    )


def contains(text: str, term: str) -> str:
    """SQL that tells whether a text contains a noise term, as files of format 1 had it."""
    return f"instr(lower({text}), lower({term}))"


def contains_or_begins(text: str, term: str) -> str:
    """SQL that tells whether a text contains a noise term; one that begins with ^ counts at a line's start alone."""
    begins = f"instr(char(10) || lower({text}), char(10) || lower(substr({term}, 2)))"
    return f"CASE WHEN {term} GLOB '^?*' THEN {begins} ELSE {contains(text, term)} END"


_MEASURE_OUTPUT = f"""  UPDATE output SET
    length = length(text),
    answer_length = ifnull(length(label), CASE WHEN trim(text, {WHITE_SPACE}) = '' THEN 0 ELSE length(text) END)
  WHERE id = NEW.id;"""


_FIRST_EQUAL = (
    "(SELECT min(o.id) FROM output AS o WHERE o.input_id = output.input_id"
    " AND ifnull(o.label, o.text) = ifnull(output.label, output.text))"
)
# Gives answers that were put in with an answer_id of 0 the id of the first equal one; more conditions may follow.
GROUP_NEW_ANSWERS = f"UPDATE output SET answer_id = {_FIRST_EQUAL} WHERE answer_id = 0"


def _group_answers(input_id: str) -> str:
    """SQL that gives all equal answers to an input the id of the first of them."""
    return f"""
  UPDATE output SET answer_id = {_FIRST_EQUAL} WHERE input_id = {input_id} AND answer_id IS NOT {_FIRST_EQUAL};"""


_FORGET_TERM = """
  DELETE FROM input_noise WHERE term = OLD.term
    AND input_id IN (SELECT i.id FROM input AS i WHERE i.task_id = OLD.task_id);
  DELETE FROM output_noise WHERE term = OLD.term AND output_id IN (
    SELECT o.id FROM input AS i JOIN output AS o ON o.input_id = i.id WHERE i.task_id = OLD.task_id);"""
TRIGGERS_2026_11_21 = (
    f"""CREATE TRIGGER example_by_hand AFTER INSERT ON example WHEN NEW.folded IS NULL BEGIN
  UPDATE example SET folded = {_folded("NEW.input")} WHERE task_id = NEW.task_id AND number = NEW.number;
END""",
    f"""CREATE TRIGGER input_by_hand AFTER INSERT ON input WHEN NEW.folded IS NULL BEGIN
  UPDATE input SET length = length(text), folded = {_folded("NEW.text")} WHERE id = NEW.id;
END""",
    """CREATE TRIGGER input_gone AFTER DELETE ON input BEGIN
  DELETE FROM input_noise WHERE input_id = OLD.id;
END""",
    f"""CREATE TRIGGER output_by_hand AFTER INSERT ON output WHEN NEW.answer_id IS NULL BEGIN
  UPDATE output SET label = {_label_of("NEW.text", "NEW.input_id")} WHERE id = NEW.id AND label IS NULL;
{_MEASURE_OUTPUT}{_group_answers("NEW.input_id")}
END""",
    f"""CREATE TRIGGER output_gone AFTER DELETE ON output BEGIN
  DELETE FROM output_noise WHERE output_id = OLD.id;{_group_answers("OLD.input_id")}
END""",
    f"CREATE TRIGGER noise_term_gone AFTER DELETE ON noise_term BEGIN{_FORGET_TERM}\nEND",
)


def noise_triggers(finds: Callable[[str, str], str]) -> dict[str, str]:
    """Return the triggers that note which text contains which noise term, by their names."""
    of_input = f"""
  INSERT OR IGNORE INTO input_noise SELECT NEW.id, t.term FROM noise_term AS t
    WHERE t.task_id = NEW.task_id AND {finds("NEW.text", "t.term")};"""
    of_output = f"""
  INSERT OR IGNORE INTO output_noise SELECT NEW.id, t.term FROM noise_term AS t
    WHERE t.task_id = (SELECT i.task_id FROM input AS i WHERE i.id = NEW.input_id)
      AND {finds("NEW.text", "t.term")};"""
    of_term = f"""
  INSERT OR IGNORE INTO input_noise SELECT i.id, NEW.term FROM input AS i
    WHERE i.task_id = NEW.task_id AND {finds("i.text", "NEW.term")};
  INSERT OR IGNORE INTO output_noise SELECT o.id, NEW.term FROM input AS i JOIN output AS o ON o.input_id = i.id
    WHERE i.task_id = NEW.task_id AND {finds("o.text", "NEW.term")};"""
    bodies = {
        "input_noise_found": f"AFTER INSERT ON input BEGIN{of_input}",
        "input_edited": f"""AFTER UPDATE OF text ON input BEGIN
  UPDATE input SET length = length(text), folded = {_folded("NEW.text")} WHERE id = NEW.id;
  DELETE FROM input_noise WHERE input_id = NEW.id;{of_input}""",
        "output_noise_found": f"AFTER INSERT ON output BEGIN{of_output}",
        "output_edited": f"""AFTER UPDATE OF text ON output BEGIN
  UPDATE output SET label = {_label_of("NEW.text", "NEW.input_id")} WHERE id = NEW.id;
{_MEASURE_OUTPUT}{_group_answers("NEW.input_id")}
  DELETE FROM output_noise WHERE output_id = NEW.id;{of_output}""",
        "noise_term_new": f"AFTER INSERT ON noise_term BEGIN{of_term}",
        "noise_term_edited": f"AFTER UPDATE ON noise_term BEGIN{_FORGET_TERM}{of_term}",
    }
    return {name: f"CREATE TRIGGER {name} {body}\nEND" for name, body in bodies.items()}


# Filters that came later stay off in a file that was begun without them: none of them changes its dataset. Labels are
# compared folded, as inputs are.
FORMAT_1_KEPT_2026_11_24 = f"""
INSERT OR IGNORE INTO setting(task_id, key, value)
  SELECT t.id, s.column1, s.column2 FROM task AS t CROSS JOIN (
    VALUES ('length_rule', 'deviations'), ('label_named_filter', 0), ('calibrate', 0), ('agreement_filter', 0),
           ('min_confidence', 0)) AS s;
ALTER TABLE label ADD COLUMN folded TEXT;
UPDATE label SET folded = {_folded("text")};
"""
LABEL_TRIGGERS_2026_11_24 = (
    f"""CREATE TRIGGER label_by_hand AFTER INSERT ON label WHEN NEW.folded IS NULL BEGIN
  UPDATE label SET folded = {_folded("NEW.text")} WHERE task_id = NEW.task_id AND number = NEW.number;
END""",
    f"""CREATE TRIGGER label_edited AFTER UPDATE OF text ON label BEGIN
  UPDATE label SET folded = {_folded("NEW.text")} WHERE task_id = NEW.task_id AND number = NEW.number;
END""",
)
