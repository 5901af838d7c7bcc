"""What a resumed run need not look at again: images that are as they were, and whose explanations all stand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cached_property, partial

from ..engine.failures import attempted
from ..errors import SigError
from ..files import Stamp
from ..gallery.thumbnails import small_of
from ..inputs.picture import Picture
from ..runs.ledger import digest_of
from ..runs.lines import Source
from ..runs.passed_over import Asked, Standing, file_stamp
from .explanation import Explanation, from_entry
from .formats import FORMATS
from .samples.seen import ARRAY, Seen
from .session import Session


class Earlier:
    """Asks the run folder of each image before it is decoded, and tells it of each that is done.

    Args:
        session: what is explained; where nothing is written, there is nothing to ask.
    """

    def __init__(self, session: Session):
        self._session, self._names = session, session.names
        self._stamps: dict[int, Stamp] = {}
        self._sources: dict[str, Source] = {}

    def standing(self, place: int) -> Standing | None:
        """An image that need not be decoded, or None; safe from several threads."""
        run, session = self._session.run, self._session
        if run is None:
            return None
        sample = session.paths[place]
        stamp = attempted(lambda: file_stamp(sample))
        if stamp is None or isinstance(stamp, SigError):
            return None
        name, folder = self._names[place]
        self._stamps[place] = stamp
        of = digest_of(self._of, name, session.samples.beside(sample))
        methods = [chosen.name for chosen in session.methods]
        drawing, pictured = session.drawing, session.samples.unseen.kind != ARRAY
        small = small_of if drawing.pictures and drawing.gallery and pictured else None
        return run.standing(Asked(name, folder, stamp, of, methods, drawing.pictures, small))

    @cached_property
    def _of(self) -> str:
        """A digest of all that words and pictures depend on, besides the run's spec and the image."""
        session = self._session
        drawing, model = session.drawing, session.model
        methods = [
            [one.name, one.entry.name, drawing.view.of(unsmoothed=one.entry.unsmoothed).spec] for one in session.methods
        ]
        formats = [entry.name for entry in FORMATS.values() if entry.properties["drawn"]]
        kind = type(session.samples).__name__
        shown = {**asdict(drawing), "view": drawing.view.spec}
        return digest_of(shown, methods, formats, kind, model.title, model.labels, session.scorer.output)

    def taken(self, place: int, picture: Picture, targets: Sequence[str], note: str) -> None:
        """An image is worked on: what is to be recorded of it once it is done."""
        stamp = self._stamps.pop(place, None)
        if stamp is None:
            return
        name, folder = self._names[place]
        of = digest_of(self._of, name, self._session.samples.beside(self._session.paths[place]))
        content = f"{picture.key:016x}"
        self._sources[name] = Source(folder, stamp, of, content, tuple(targets), note, picture.facts)

    def given_up(self, place: int) -> None:
        """An image cannot be worked on."""
        self._stamps.pop(place, None)

    def seal(self, image: str, *, done: bool) -> None:
        """All explanations of an image are written; it is done where none failed."""
        source = self._sources.pop(image, None)
        if source is not None and done and self._session.run is not None:
            self._session.run.seal(source)

    def explanations(self, place: int, found: Standing, blank: Mapping[str, Explanation]) -> Iterator[Explanation]:
        """What an earlier run made of an image that is passed over, in the order of its targets and methods.

        Args:
            place: of the image.
            found: what stands.
            blank: by method, what is known of its explanations whatever the image.
        """
        source, session = found.source, self._session
        name, folder = self._names[place]
        self._stamps.pop(place, None)
        session.samples.assumed.note(session.paths[place], source.assumed)
        for entry, seconds in found.items:
            target = int(entry.target) if entry.target.isdigit() else entry.target
            item = replace(
                blank[entry.method], image=name, folder=folder, target=target, label=entry.label, output=entry.output,
                region=str(entry.facts.get("region") or ""), content=entry.content, note=source.note,
                seen=session.samples.unseen, look=partial(self.looked_at, place, target),
            )  # fmt: skip
            yield from_entry(item, entry, seconds)

    def looked_at(self, place: int, target: int | str | None) -> Seen:
        """What the model sees of an image that was passed over: it is decoded now, and its targets are found anew."""
        session, samples = self._session, self._session.samples
        path = session.paths[place]
        picture = samples.read(path)
        methods = [samples.fitted(session.model, picture, chosen) for chosen in session.methods]
        seen = samples.seen(session.model, picture, methods, path)
        x = session.model.preprocess(picture.pixels).to(session.model.device)
        number = None if target is None else samples.number(session.scorer, x, path, target)
        return seen if number is None else samples.of_target(seen, number)
