"""The members of a population in groups of one kind, and the stacks that they take turns on."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops, tree

from keras_sam.backend import keras_internals, programs
from keras_sam.population.architecture import state
from keras_sam.population.chunk import Chunk, filled
from keras_sam.population.data import on_device
from keras_sam.population.member import Member
from keras_sam.population.member_model import MemberModel
from keras_sam.population.plan import plan
from keras_sam.population.stack import Augment, Prepare, Stack
from keras_sam.population.starts import Start, Starts, new_network
from keras_sam.validation import boolean, integer

OPTIONS = (
    "adaptive",
    "ascent_steps",
    "eta",
    "geometry",
    "log_ascent",
    "method",
    "normalize",
    "num_batch_splits",
    "perturb",
)


class Cohort:
    """Knows how to build, group and save the members. Arguments as for `Population`."""

    def __init__(
        self,
        build: Callable[[int], keras.Model],
        prepare: Prepare | None,
        augment: Augment | None,
        chunk: int | None,
        vectorize: bool | None,
        options: Mapping[str, Any],
    ) -> None:
        if not callable(build):
            raise TypeError(f"`build` must be a function of a seed. Received: `build={build!r}`")
        for name, function in (("prepare", prepare), ("augment", augment)):
            if function is not None and not callable(function):
                raise TypeError(f"`{name}` must be a function. Received: `{name}={function!r}`")
        chunk = None if chunk is None else integer("chunk", chunk, 1)
        vectorize = None if vectorize is None else boolean("vectorize", vectorize)
        for name in options:
            if name not in OPTIONS:
                raise TypeError(
                    f"A population takes the arguments {', '.join(OPTIONS)} of SAMModel. "
                    f"Received: `{name}={options[name]!r}`"
                )
        self.members: tuple[Member, ...] = ()
        self._build, self._options = build, dict(options)
        self._prepare, self._augment = prepare, augment
        self._chunk, self._vectorize = chunk, vectorize
        self._models: dict[Any, MemberModel] = {}
        self._stacks: dict[Any, Stack] = {}
        self._chunks: list[Chunk] = []
        self._kept: dict[int, Start] = {}
        self._signature: Any = None
        self._compiled: tuple[Callable[[], Any], Mapping[str, Any]] | None = None
        self._is_ready = False
        self._saved: dict[str, np.ndarray] | None = None

    def set_members(self, members: Sequence[Member]) -> None:
        """Takes on members at their start."""
        members, self._chunks = _checked_members(members), []
        self._starts = Starts(self._build, members, self._signature)
        self._signature, masked = self._starts.signature, self._starts.masked
        self.members, self._saved, self._kept = members, None, {}
        self._kinds: dict[Any, list[int]] = {}
        for place, member in enumerate(members):
            method = member.method or self._options.get("method", "sam")
            kind = (member.rho > 0, str(method) if member.rho > 0 else "", masked)
            self._kinds.setdefault(kind, []).append(place)
        for kind, places in self._kinds.items():
            if kind not in self._models:
                self._models[kind] = self._new_model(kind, members[places[0]])

    def compile(self, make: Callable[[], Any], arguments: Mapping[str, Any]) -> None:
        """Takes on a maker of optimizers, and what else `compile` takes. Weights stay."""
        self._compiled, self._is_ready = (make, arguments), False
        self._drop_stacks()
        for model in self._models.values():
            self._compile_model(model)

    def chunks(self, pool: Any, rows: np.ndarray, draws: Any, own_y: Any) -> list[Chunk]:
        """The chunks, ready to be trained and evaluated on such batches.

        Raises:
            ValueError: If `compile` was not called, or there is too little memory.
        """
        if self._compiled is None:
            raise ValueError("`compile` must be called before. Received: no loss and no optimizer")
        if not self._is_ready:
            self._drop_stacks()  # Those that predictions were made with have no metrics.
            batch = self._example(pool, rows, draws, own_y)
            for model in self._models.values():
                keras_internals.build_from_batch(model, batch)
                model.reset_metrics()
            self._is_ready = True
        return self._chunks or self._make_chunks(rows.shape[2])

    def any_chunks(self) -> list[Chunk]:
        """The chunks, for predictions, which need no `compile`."""
        return self._chunks or self._make_chunks(1)

    def network(self, place: int) -> keras.Model:
        """The network of the member at a place."""
        network = new_network(self._build, self.members[place].seed)
        weights, own_state = self._values(place)
        variables = [*network.trainable_variables, *state(network)]
        for variable, value in zip(variables, [*weights, *own_state], strict=True):
            variable.assign(value)
        return network

    def learning_rates(self) -> np.ndarray:
        """The present learning rate of each member."""
        rates, base = np.zeros(len(self.members)), None
        for chunk in self._chunks:
            optimizer, factor = chunk.load().optimizer, chunk.stack.rates.get("factor")
            if base is None:  # All have taken as many steps.
                base = float(ops.convert_to_numpy(optimizer.learning_rate))
            rates[chunk.places] = base
            if factor is not None:
                rates[chunk.places] *= chunk.own(ops.convert_to_numpy(factor))
        return rates

    def states(self) -> dict[str, np.ndarray]:
        """All values, by name: those of members of one kind together, whatever the chunks are."""
        self.any_chunks()
        found = {}
        for name, chunks in self._by_kind():
            for i, parts in enumerate(zip(*(chunk.values() for chunk in chunks), strict=True)):
                # What is no stack, such as the number of steps, is the same in all chunks.
                found[f"{name}/{i}"] = np.concatenate(parts) if parts[0].ndim else parts[0]
        return found

    def set_states(self, states: Mapping[str, np.ndarray]) -> None:
        """Takes on what `states` returned; where there are no variables yet, once there are."""
        self._saved = dict(states)
        if self._chunks and self._is_ready:
            self._restore()

    def _restore(self) -> None:
        saved, self._saved = self._saved, None
        assert saved is not None
        shapes = {name: value.shape for name, value in self.states().items()}
        if shapes != {name: np.shape(value) for name, value in saved.items()}:
            raise ValueError(
                "`states` must be those of a population of as many members, of the same network "
                f"and optimizer. Received: {len(saved)} arrays for {len(shapes)}, or arrays of "
                "other shapes"
            )
        for name, chunks in self._by_kind():
            first = 0
            for chunk in chunks:
                own = slice(first, first + len(chunk.places))
                values = [saved[f"{name}/{i}"] for i in range(len(chunk.values()))]
                chunk.assign([value[own] if value.ndim else value for value in values])
                first = own.stop

    def _by_kind(self) -> list[tuple[int, list[Chunk]]]:
        """The chunks of each kind, which hold its members in their order."""
        kinds = enumerate(self._kinds.values())
        return [(i, [c for c in self._chunks if c.places[0] in places]) for i, places in kinds]

    def _make_chunks(self, batch_size: int) -> list[Chunk]:
        chunks: list[Chunk] = []
        for kind, places in self._kinds.items():
            model = self._models[kind]
            how = plan(model.model, len(places), batch_size, self._chunk, self._vectorize)
            for start in range(0, len(places), how.chunk):
                own = places[start : start + how.chunk]
                all_own = filled(own, programs.padded(len(own)))
                members = [self.members[place] for place in all_own]
                rates = tuple(
                    any(getattr(m, name) is not None for m in self.members)
                    for name in ("learning_rate", "weight_decay")
                )
                key = (kind, len(all_own), how.loop, how.one_step, rates)
                if key not in self._stacks:
                    self._stacks[key] = Stack(
                        model,
                        len(all_own),
                        loop=how.loop,
                        one_step=how.one_step,
                        prepare=self._prepare,
                        augment=self._augment,
                    )
                    if self._compiled is not None:
                        self._stacks[key].compile(self._compiled[0](), *rates)
                weights, own_state = self._stacked(model, all_own)
                chunks.append(Chunk(self._stacks[key], own, members, weights, own_state))
        self._chunks = chunks
        if self._saved is not None and self._is_ready:
            self._restore()
        return chunks

    def _stacked(self, model: MemberModel, places: Sequence[int]) -> Start:
        """The present values of weights and state, each stacked over members."""
        members = [self._values(place) for place in places]
        weights = [np.stack(parts) for parts in zip(*(w for w, _ in members), strict=True)]
        of_network = {id(v): i for i, v in enumerate(state(model.model))}
        of_masks = {
            id(model.mask_variables[v.path]): i
            for i, v in enumerate(model.trainable_variables)
            if v.path in model.mask_variables
        }
        own_state = []
        for variable in model.own_state:
            if id(variable) in of_network:
                i = of_network[id(variable)]
                own_state.append(np.stack([of_member[i] for _, of_member in members]))
            elif id(variable) in of_masks:
                i = of_masks[id(variable)]
                own_state.append(np.stack([self._starts.mask(place, i) for place in places]))
                weights[i] = np.where(own_state[-1], weights[i], np.zeros_like(weights[i]))
            else:
                start = ops.convert_to_numpy(variable)
                own_state.append(np.stack([start] * len(places)))
        return weights, own_state

    def _values(self, place: int) -> Start:
        """Weights and state of a member as they are now."""
        chunk = next((c for c in self._chunks if place in c.places), None)
        if chunk is None:
            return self._kept.get(place) or self._starts[place]
        stack, values, own = chunk.stack, chunk.values(), chunk.places.index(place)
        weights = [value[own] for value in values[: len(stack.weights)]]
        of_state = values[len(weights) : len(weights) + len(stack.state)]
        found = {id(v): i for i, v in enumerate(stack.model.own_state)}
        return weights, [of_state[found[id(v)]][own] for v in state(stack.model.model)]

    def _drop_stacks(self) -> None:
        """Forgets all but weights and state."""
        if self._chunks:
            self._kept = {place: self._values(place) for place in range(len(self.members))}
        self._chunks = []
        self._stacks.clear()

    def _new_model(self, kind: Any, member: Member) -> MemberModel:
        is_sam, _, masked = kind
        options = dict(self._options)
        if member.method is not None:
            options["method"] = member.method
        network = new_network(self._build, member.seed)
        if not is_sam:  # No method, but the same logs.
            options = {key: options[key] for key in ("log_ascent",) if key in options}
        model = MemberModel(network, 1.0 if is_sam else 0.0, **options)
        if any(masked):
            pairs = zip(masked, model.trainable_variables, strict=True)
            model.masks = [np.ones(v.shape, bool) if is_in else None for is_in, v in pairs]
        if self._compiled is not None:
            self._compile_model(model)
            self._is_ready = False
        return model

    def _compile_model(self, model: MemberModel) -> None:
        assert self._compiled is not None
        # It is the optimizer of a stack that steps; this one tells that there is no loss scaling.
        model.compile(keras.optimizers.SGD(0.0), jit_compile=False, **self._compiled[1])

    def _example(self, pool: Any, rows: np.ndarray, draws: Any, own_y: Any) -> Any:
        """A batch as networks get it, from which Keras builds loss and metrics."""

        def taken(tensor: Any) -> Any:
            # By way of the host: JAX would compile each of these.
            return tensor if tensor is None else on_device(ops.convert_to_numpy(tensor)[rows[0, 0]])

        x, y, sample_weight = tree.map_structure(taken, pool)
        if own_y is not None:
            y = tree.map_structure(lambda t: taken(t[0]), own_y)
        if self._augment is not None and draws is not None:
            x = self._augment(x, ops.convert_to_tensor(draws[0, 0]))
        return x if self._prepare is None else self._prepare(x), y, sample_weight


def _checked_members(members: Any) -> tuple[Member, ...]:
    if isinstance(members, str | Member) or not isinstance(members, Sequence):
        raise TypeError(f"`members` must be a sequence of Member. Received: `members={members!r}`")
    members = tuple(members)
    if not members:
        raise ValueError(f"`members` must hold one or more. Received: `members={members!r}`")
    for place, member in enumerate(members):
        if not isinstance(member, Member):
            raise TypeError(f"`members` must be of Member. Received: {member!r}")
        if any(member.is_same(other) for other in members[:place]):
            raise ValueError(
                "`members` must differ from each other in something. "
                f"Received: {member!r} more than once"
            )
    return members
