"""What a changed task file means for what its database holds: said, asked about, and done."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from selfguide_lite.core.errors import SelfguideError, short
from selfguide_lite.store import Store
from selfguide_lite.store.versions import asks_alike, change_definition, definition, only_renamed
from selfguide_lite.task import Task, fold


@dataclass(frozen=True, slots=True)
class TaskChange:
    """A change of a task.

    :param changed: what is another now
    :param follows: what becomes of what is there
    :param renamed: labels' old names with their new ones
    """

    changed: tuple[str, ...]
    follows: tuple[str, ...]
    renamed: Mapping[str, str]

    @property
    def lines(self) -> list[str]:
        """What a person reads before they are asked."""
        return [*(f"changed: {one}" for one in self.changed), *(f"follows: {one}" for one in self.follows)]


def look(store: Store, task: Task, renamed: Mapping[str, str] | None = None) -> TaskChange | None:
    """Return what changed in a task since its database has it; None where nothing did, or it is new there.

    :param renamed: labels' old names with their new ones, which the file alone cannot tell
    :raises SelfguideError: where the kind changed, or a label is said to be renamed that is not
    """
    if task.name not in store.task_names():
        return None
    task_id = store.only_task_id(task.name)
    before = store.task(task_id)
    if before.kind != task.kind:
        raise SelfguideError(
            f"{store.path}: task {task.name!r} was begun as {before.kind}; another kind is another task: give it a new "
            "name, or choose a new database with -d"
        )
    names = _renamed(before, task, dict(renamed or {}))
    if definition(before) == definition(task):
        return None
    changed = list(_changes(before, task, names))
    follows = _follows(store, task_id, before, task, names)
    return TaskChange(tuple(changed), tuple(follows), names)


def bring_in_told(
    store: Store,
    task: Task,
    note: Callable[[str], None],
    agree: Callable[[TaskChange], bool] | None = None,
    renamed: Mapping[str, str] | None = None,
) -> int:
    """Do as `bring_in`, and say which noise terms came and went: they need no question, since nothing is made anew.

    :param note: told a line
    """
    known = store.noise_terms(store.only_task_id(task.name)) if task.name in store.task_names() else None
    task_id = bring_in(store, task, agree, renamed)
    if known is not None:
        now = store.noise_terms(task_id)
        came, went = sorted(set(now) - set(known)), sorted(set(known) - set(now))
        if came or went:
            told = [f"new: {short(', '.join(came))}"] * bool(came) + [f"gone: {short(', '.join(went))}"] * bool(went)
            note(
                f"noise terms changed ({'; '.join(told)}): the texts are seen through the filters anew, nothing is lost"
            )
    return task_id


def bring_in(
    store: Store,
    task: Task,
    agree: Callable[[TaskChange], bool] | None = None,
    renamed: Mapping[str, str] | None = None,
) -> int:
    """Put a task into the store as it is now, and return its id; everything that was generated stays.

    :param agree: asked whether a change is to be brought in; None: no change is
    :param renamed: labels' old names with their new ones
    :raises SelfguideError: where a change is not agreed to
    """
    change = look(store, task, renamed)
    if change is None:
        return store.add_task(task)
    if agree is None or not agree(change):
        raise SelfguideError(
            f"{store.path}: task {task.name!r} was begun otherwise ({'; '.join(change.changed)}): `selfguide run` with "
            "--yes brings the change in; or undo it, give the task a new name, or choose a new database with -d"
        )
    change_definition(store, store.only_task_id(task.name), task, "; ".join(change.changed), change.renamed)
    return store.add_task(task)


def _renamed(before: Task, now: Task, given: dict[str, str]) -> dict[str, str]:
    """Check which labels are said to be renamed, and leave out what is done already."""
    old = {fold(label): label for label in before.labels}
    new = {fold(label): label for label in now.labels}
    names = {}
    for was, becomes in given.items():
        if fold(becomes) not in new:
            raise SelfguideError(
                f"--rename {short(was)}={short(becomes)}: the task file has no label {short(becomes)!r}"
            )
        if fold(was) not in old:
            if fold(becomes) in old:
                continue
            raise SelfguideError(f"--rename {short(was)}={short(becomes)}: the task had no label {short(was)!r}")
        if fold(was) in new or fold(becomes) in old:
            raise SelfguideError(f"--rename {short(was)}={short(becomes)}: one name must be old and the other new")
        names[old[fold(was)]] = new[fold(becomes)]
    return names


def _changes(before: Task, now: Task, names: Mapping[str, str]) -> list[str]:
    told = []
    if before.instruction != now.instruction:
        told.append("the instruction")
    told += [f"the label {short(old)} is now called {short(new)}" for old, new in names.items()]
    gone = [label for label in before.labels if label not in now.labels and label not in names]
    come = [label for label in now.labels if label not in before.labels and label not in names.values()]
    told += [f"the label {short(label)} was removed" for label in gone]
    told += [f"the label {short(label)} is new" for label in come]
    if gone and come:
        told[-1] += f" (if it only has another name: --rename '{short(gone[-1])}={short(come[-1])}')"
    if before.output_schema != now.output_schema:
        told.append("the fields of the schema")
    old = [(one.input, names.get(one.output, one.output)) for one in before.examples]
    new = [(one.input, one.output) for one in now.examples]
    if old != new:
        more, fewer = len([one for one in new if one not in old]), len([one for one in old if one not in new])
        told.append(f"the examples ({more} new, {fewer} removed)" if more or fewer else "the order of the examples")
    if dict(before.label_meanings) != dict(now.label_meanings):
        told.append("what the labels mean")
    if dict(before.label_shares) != dict(now.label_shares):
        told.append("how frequent the labels are")
    return told or ["the order of the labels"]


def _follows(store: Store, task_id: int, before: Task, now: Task, names: Mapping[str, str]) -> list[str]:
    inputs, outputs = store.input_count(task_id), store.output_count(task_id)
    told = [f"the {inputs:,} inputs that are there are kept"]
    if before.examples != now.examples:
        told.append("the filters judge them by the new examples")
    if asks_alike(before, now):
        told.append("the answers are kept")
    elif only_renamed(before, now, names):
        told.append("the answers are kept under the new names")
    else:
        told.append(f"the {outputs:,} answers are put aside, and the inputs are answered again")
    told.append("the model is trained and measured again where its pairs or prompts changed")
    return told
