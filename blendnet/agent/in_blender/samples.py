"""How a range of samples is selected in each generation of Cycles. Only `select` touches a scene; the rest is pure."""

import math

METHOD_SUBSET = "subset"
"""4.4 and later: `samples` is the total, a subset of it is rendered."""
METHOD_OFFSET = "offset"
"""3.1 to 4.3: `samples` is the length of the range, `sample_offset` its start."""
METHOD_CHUNKS = "chunks"
"""2.93 and older: `samples` is the total, cut into as many of Cycles' "resumable chunks", a run of them is rendered."""
METHOD_SEED = "seed"
"""3.0, and adaptive sampling before it: no range can be chosen; every range gets a seed of its own."""

MAX_SEED = 2**31 - 1
AUTO_THRESHOLD_MIN = 0.001


def method_of(cycles):
    """The sample method of this Blender, read from what its scene.cycles offers."""
    if hasattr(cycles, "use_sample_subset"):
        return METHOD_SUBSET
    if hasattr(cycles, "sample_offset"):
        return METHOD_OFFSET
    # Adaptive sampling takes the number of a sample for their count: parts with chunks come out dark.
    if _with_chunks() and not getattr(cycles, "use_adaptive_sampling", False):
        return METHOD_CHUNKS
    return METHOD_SEED


def _with_chunks():
    """Cycles' own module when it has resumable chunks, else None."""
    try:
        import _cycles
    except ImportError:
        return None
    return _cycles if hasattr(_cycles, "set_resumable_chunk_range") else None


def layer_range(offset, count, total, samples):
    """(offset, count) of the frame's range mapped to a layer that gets `samples` of its own instead of `total`."""
    start = offset * samples // total
    return start, (offset + count) * samples // total - start


def grouped(layers):
    """[((offset, count, samples), [names])] of layers with the same range; empty ranges are left out."""
    groups = {}
    for layer in layers:
        if layer["count"] > 0:
            key = (layer["offset"], layer["count"], layer["samples"])
            groups.setdefault(key, []).append(layer["name"])
    return sorted(groups.items())


def adaptive_settings(method, threshold, min_samples, count, total):
    """(adaptive_threshold, adaptive_min_samples) with which a part stops where the whole frame would have.

    With k = total / count the noise of a part is sqrt(k) times that of the frame, so its effective threshold is
    threshold * sqrt(k). 'subset' Blenders multiply by sqrt(count / total) on their own: they get threshold * k.
    Automatic values (0) are worked out as Cycles does (scene/integrator.cpp) for the whole frame first.
    """
    if count >= total:
        return threshold, min_samples
    k = total / float(count)
    threshold = threshold or max(AUTO_THRESHOLD_MIN, 1.0 / total)
    min_samples = min_samples or max(4, int(math.ceil(16.0 / threshold**0.3)))
    scale = k if method == METHOD_SUBSET else math.sqrt(k)
    return threshold * scale, max(1, int(math.ceil(min_samples / k)))


def select(overrides, cycles, offset, count, total):
    """Make the next render call render samples [offset, offset + count) of `total`."""
    method = method_of(cycles)
    if method == METHOD_SUBSET:
        overrides.put(cycles, "samples", total)
        overrides.put(cycles, "use_sample_subset", (offset, count) != (0, total))
        overrides.put(cycles, "sample_offset", offset)
        overrides.put(cycles, "sample_subset_length", count)
    elif method == METHOD_CHUNKS:
        overrides.put(cycles, "samples", total)
        overrides.put(cycles, "aa_samples", total)
        # Counted from 1, the last one included.
        _with_chunks().set_resumable_chunk_range(total, offset + 1, offset + count)
    else:
        overrides.put(cycles, "samples", count)
        overrides.put(cycles, "aa_samples", count)
        overrides.put(cycles, "sample_offset", offset)
    if method == METHOD_SEED:
        overrides.put(cycles, "seed", (overrides.original(cycles, "seed") + offset) % MAX_SEED)
    if getattr(cycles, "use_adaptive_sampling", False):
        _select_adaptive(overrides, cycles, method, count, total)


def select_all():
    """Undo what `select` chose outside the scene's settings, which the overrides do not know."""
    cycles_module = _with_chunks()
    if cycles_module is not None:
        cycles_module.clear_resumable_chunk()


def _select_adaptive(overrides, cycles, method, count, total):
    threshold, min_samples = adaptive_settings(
        method,
        overrides.original(cycles, "adaptive_threshold"),
        overrides.original(cycles, "adaptive_min_samples"),
        count,
        total,
    )
    overrides.put(cycles, "adaptive_threshold", threshold)
    overrides.put(cycles, "adaptive_min_samples", min_samples)


def scene_samples(cycles):
    """Samples the scene asks for, the squared and branched ways of 2.8x resolved."""
    samples = cycles.samples
    if getattr(cycles, "progressive", "PATH") == "BRANCHED_PATH":
        samples = cycles.aa_samples
    return samples * samples if getattr(cycles, "use_square_samples", False) else samples


def layer_samples(cycles, own, samples):
    """Samples of a view layer whose own override is `own` (0: none) in a frame of `samples` (Cycles' session.cpp)."""
    mode = getattr(cycles, "use_layer_samples", "IGNORE")
    if not own or mode == "IGNORE":
        return samples
    if getattr(cycles, "use_square_samples", False):
        own = own * own
    return min(own, samples) if mode == "BOUNDED" else own
