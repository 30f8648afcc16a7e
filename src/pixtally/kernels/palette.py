"""Values to colours and back: table lookups, and the exact nearest colour of a colormap.

Backwards, the colour cube is cut into cells, each with the list of the table colours that can
be nearest to a point in it. An 8-bit colour is searched for in its cell once and remembered in
a table of all 2**24 colours (its pages exist only where they are touched), so that the work per
pixel is one lookup. Two threads may write the same entry at once: both write the same number.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

MAX_COLOURS = 65535  # the memo keeps 1 + the place in the table in 16 bits
BLOCK = 16384  # pixels inverted at a time: they stay in the second-level cache
ALPHA_ONE = np.uint32(1 << 24)  # packed colours below it are transparent
COLOUR_BITS = np.uint32(ALPHA_ONE - 1)
CELL_WORK = 2**25  # colours × cells above which the cells are made larger


class ColourIndex(NamedTuple):
    """What finds the nearest colour of one table.

    Attributes
    ----------
    colours : ndarray of float64, shape (n, 3)
        The table, in the units of the pictures it is for: 0…255 or 0…1.
    repeated : ndarray of bool, shape (n,)
        Colours that stand in the table more than once.
    scale : float
        The largest level, 255 or 1.
    bits : int
        The cube has ``2**bits`` cells along each axis.
    starts, candidates : ndarray of int32
        Cell ``k`` holds ``candidates[starts[k]:starts[k + 1]]``, in table order.
    memo : ndarray of uint16
        For bytes, 1 + the place of each known colour; empty for floats.
    """

    colours: npt.NDArray[np.float64]
    repeated: npt.NDArray[np.bool_]
    scale: float
    bits: int
    starts: npt.NDArray[np.int32]
    candidates: npt.NDArray[np.int32]
    memo: npt.NDArray[np.uint16]


@numba.njit(nogil=True, cache=True)
def _cell_reach(colours, low, width, nearest):
    """Write the squared distance of each colour to a cell; return the reach of the best one.

    No point of the cell is farther from its nearest colour than that reach, so a colour whose
    nearest point is farther away is never the answer there.
    """
    reach = np.inf
    for k in range(len(colours)):
        near, far = 0.0, 0.0
        for c in range(3):
            below, above = low[c] - colours[k, c], colours[k, c] - (low[c] + width)
            gap = max(below, above, 0.0)
            span = max(-below, -above)
            near += gap * gap
            far += span * span
        nearest[k] = near
        reach = min(reach, far)
    return reach * (1 + 1e-12)


@numba.njit(nogil=True, cache=True)
def _list_cells(colours, scale, bits):
    """Write the candidates of every cell one after the other; return where each begins."""
    side = 1 << bits
    width = (256.0 if scale == 255.0 else 1.0) / side
    starts, candidates = np.empty(side**3 + 1, np.int32), np.empty(2 * side**3, np.int32)
    nearest, low = np.empty(len(colours)), np.empty(3)
    n = 0
    for cell in range(side**3):
        low[0] = (cell >> (2 * bits)) * width
        low[1] = ((cell >> bits) & (side - 1)) * width
        low[2] = (cell & (side - 1)) * width
        reach = _cell_reach(colours, low, width, nearest)
        starts[cell] = n
        while n + len(colours) > len(candidates):
            candidates = np.append(candidates, np.empty_like(candidates))
        for k in range(len(colours)):
            candidates[n] = k  # kept only if the next one does not overwrite it
            n += nearest[k] <= reach
    starts[side**3] = n
    return starts, candidates[:n].copy()


def index_colours(colours: npt.NDArray[Any]) -> ColourIndex:
    """Prepare the search for the nearest colour of a table.

    Parameters
    ----------
    colours : ndarray, shape (n, 3)
        uint8, or floats in 0…1; ``n`` is at most 65535.

    Returns
    -------
    ColourIndex
        For pictures of the same kind as the table: bytes or floats.

    Examples
    --------
    >>> import numpy as np
    >>> index_colours(np.array([[0, 0, 0], [255, 255, 255]], np.uint8)).memo.size == 2**24
    True
    """
    is_bytes = colours.dtype == np.uint8
    table = np.ascontiguousarray(colours[:, :3], np.float64)
    _, first, count = np.unique(table, axis=0, return_inverse=True, return_counts=True)
    scale = 255.0 if is_bytes else 1.0
    bits = 5
    while bits > 1 and len(table) << (3 * bits) > CELL_WORK:
        bits -= 1
    starts, candidates = _list_cells(table, scale, bits)
    memo = np.zeros(2**24 if is_bytes else 0, np.uint16)
    return ColourIndex(table, count[first.ravel()] > 1, scale, bits, starts, candidates, memo)


@numba.njit(nogil=True, cache=True)
def _squared(colours, k, r, g, b):
    dr, dg, db = colours[k, 0] - r, colours[k, 1] - g, colours[k, 2] - b
    return dr * dr + dg * dg + db * db


@numba.njit(nogil=True, cache=True)
def _search(colours, bits, scale, starts, candidates, r, g, b):
    """Find the first of the nearest colours; outside the cube the whole table is searched."""
    side = 1 << bits
    grain = side / (256.0 if scale == 255.0 else 1.0)
    best, least = 0, np.inf
    if min(r, g, b) >= 0.0 and max(r, g, b) <= scale:
        top = side - 1
        cell = min(int(r * grain), top) << (2 * bits)
        cell |= (min(int(g * grain), top) << bits) | min(int(b * grain), top)
        for n in range(starts[cell], starts[cell + 1]):
            k = candidates[n]
            squared = _squared(colours, k, r, g, b)
            if squared < least:
                best, least = k, squared
        return best
    for k in range(len(colours)):
        squared = _squared(colours, k, r, g, b)
        if squared < least:
            best, least = k, squared
    return best


@numba.njit(nogil=True, cache=True)
def _look_up(codes, index, packed, values, paired, value, ambiguous):
    """Write the nearest colour and its value for every colour; say whether any is transparent."""
    colours, repeated, scale, bits, starts, candidates, memo = index
    flag_repeated = len(ambiguous) > 0
    transparent = False
    for i in range(len(codes)):
        code = codes[i]
        if code < ALPHA_ONE:
            paired[i], value[i] = code, np.nan
            transparent = True
            continue
        code &= COLOUR_BITS
        place = memo[code]
        if place == 0:
            r, g, b = float(code & 255), float((code >> 8) & 255), float(code >> 16)
            nearest = _search(colours, bits, scale, starts, candidates, r, g, b)
            place = np.uint16(nearest + 1)
            memo[code] = place
        k = np.uintp(place) - np.uintp(1)
        paired[i], value[i] = packed[k], values[k]
        if flag_repeated:
            ambiguous[i] = repeated[k]
    return transparent


@numba.njit(nogil=True, cache=True)
def _measure(codes, paired, distance):
    """Euclidean distance between packed colours; a loop without lookups runs vectorised."""
    low = np.uint32(255)
    for i in range(len(codes)):
        a, b = codes[i], paired[i]
        red = np.float32(np.int32(a & low) - np.int32(b & low))
        a, b = a >> np.uint32(8), b >> np.uint32(8)
        green = np.float32(np.int32(a & low) - np.int32(b & low))
        a, b = a >> np.uint32(8), b >> np.uint32(8)
        blue = np.float32(np.int32(a & low) - np.int32(b & low))
        distance[i] = np.sqrt(red * red + green * green + blue * blue)


@numba.njit(nogil=True, cache=True)
def _drop_far(distance, tolerance, value):
    for i in range(len(distance)):
        value[i] = value[i] if distance[i] <= tolerance else np.nan


@numba.njit(nogil=True, cache=True)
def _invert_codes(codes, index, packed, values, tolerance, value, distance, ambiguous):
    """Invert packed colours block by block."""
    paired = np.empty(BLOCK, np.uint32)
    flags = ambiguous if index.repeated.any() else ambiguous[:0]
    for start in range(0, len(codes), BLOCK):
        stop = min(start + BLOCK, len(codes))
        some, found, far = codes[start:stop], value[start:stop], distance[start:stop]
        transparent = _look_up(some, index, packed, values, paired, found, flags[start:stop])
        _measure(some, paired, far)
        if transparent:
            for i in range(stop - start):
                if some[i] < ALPHA_ONE:
                    far[i] = np.nan
        if tolerance < np.inf:
            _drop_far(far, tolerance, found)


@numba.njit(nogil=True, cache=True)
def _invert_floats(pixels, index, values, tolerance, value, distance, ambiguous):
    colours, repeated, scale, bits, starts, candidates, _ = index
    for i in range(len(pixels)):
        r, g, b = float(pixels[i, 0]), float(pixels[i, 1]), float(pixels[i, 2])
        transparent = pixels.shape[1] == 4 and pixels[i, 3] == 0
        value[i], distance[i], ambiguous[i] = np.nan, np.nan, False
        if transparent or not (np.isfinite(r) and np.isfinite(g) and np.isfinite(b)):
            continue
        k = _search(colours, bits, scale, starts, candidates, r, g, b)
        distance[i] = np.sqrt(_squared(colours, k, r, g, b))
        ambiguous[i] = repeated[k]
        if distance[i] <= tolerance:
            value[i] = values[k]


@numba.njit(nogil=True, cache=True)
def _join_bytes(flat, codes):
    for i in range(len(codes)):
        red, green, blue = flat[3 * i], flat[3 * i + 1], flat[3 * i + 2]
        code = np.uint32(red) | (np.uint32(green) << np.uint32(8))
        codes[i] = code | (np.uint32(blue) << np.uint32(16)) | np.uint32(255 << 24)


def _pack(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint32]:
    """Join the bytes of each colour in one number, opaque where there is no alpha."""
    if pixels.shape[-1] == 4:
        return np.ascontiguousarray(pixels).reshape(-1, 4).view("<u4").ravel()
    codes = np.empty(pixels.size // 3, np.uint32)
    _join_bytes(np.ascontiguousarray(pixels).ravel(), codes)
    return codes


def invert_colours(
    pixels: npt.NDArray[Any],
    index: ColourIndex,
    values: npt.NDArray[np.float64],
    tolerance: float = np.inf,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Give every pixel the value of the nearest colour of a table.

    Parameters
    ----------
    pixels : ndarray, shape (..., 3) or (..., 4)
        uint8 with an index of bytes, floats with an index of floats. Alpha 0 marks an invalid
        pixel; other alphas are ignored.
    index : ColourIndex
        From `index_colours`.
    values : ndarray of float64, shape (n,)
        The value of every colour of the table.
    tolerance : float
        Largest distance that is believed, in the pixels' units; beyond it the value is NaN.

    Returns
    -------
    value : ndarray of float64, shape (...)
        NaN where invalid or too far.
    distance : ndarray of float32, shape (...)
        Euclidean distance from the nearest colour, NaN where invalid.
    ambiguous : ndarray of bool, shape (...)
        The nearest colour stands in the table more than once; the first was taken.

    Examples
    --------
    >>> import numpy as np
    >>> index = index_colours(np.array([[0, 0, 0], [255, 255, 255]], np.uint8))
    >>> value, distance, _ = invert_colours(
    ...     np.array([[3, 0, 4]], np.uint8), index, np.array([10.0, 20.0])
    ... )
    >>> float(value[0]), float(distance[0])
    (10.0, 5.0)
    """
    shape = pixels.shape[:-1]
    value = np.empty(shape, np.float64)
    distance = np.empty(shape, np.float32)
    ambiguous = np.zeros(shape, np.bool_)
    out = value.reshape(-1), distance.reshape(-1), ambiguous.reshape(-1)
    if pixels.dtype == np.uint8:
        packed = _pack(index.colours.astype(np.uint8))
        _invert_codes(_pack(pixels), index, packed, values, tolerance, *out)
    else:
        flat = np.ascontiguousarray(pixels).reshape(-1, pixels.shape[-1])
        _invert_floats(flat, index, values, tolerance, *out)
    return value, distance, ambiguous


@numba.njit(nogil=True, cache=True)
def _take_colours(scaled, table, out):
    """Colour of ``trunc(scaled)``: below 0, from n up and NaN take the last three rows."""
    n = len(table) - 3
    for i in range(len(scaled)):
        x = scaled[i]
        if np.isnan(x):
            k = n + 2
        elif x < 0:
            k = n
        elif x > n:
            k = n + 1
        else:
            k = min(int(x), n - 1)
        for c in range(4):
            out[i, c] = table[k, c]


def _scale(values: npt.NDArray[Any], vmin: float, vmax: float, n: int) -> npt.NDArray[Any]:
    """Carry ``vmin…vmax`` to ``0…n``, rounding at every step where matplotlib does."""
    kind = values.dtype
    if kind.kind in "iub":
        kind = np.promote_types(kind, np.float32)
    scaled = values.astype(kind)
    with np.errstate(over="ignore", invalid="ignore"):
        scaled -= np.float64(vmin)
        scaled /= np.float64(vmax) - np.float64(vmin)
        scaled *= n
    return scaled.astype(np.float32) if kind == np.float16 else scaled


def apply_table(
    values: npt.NDArray[Any], table: npt.NDArray[np.uint8], vmin: float, vmax: float
) -> npt.NDArray[np.uint8]:
    """Colour values as ``matplotlib`` does: equal parts of ``vmin…vmax`` for the n colours.

    Parameters
    ----------
    values : ndarray of numbers, shape (...)
    table : ndarray of uint8, shape (n + 3, 4)
        The n colours, then those for values below, above and NaN.
    vmin, vmax : float
        The range, ``vmin < vmax``. ``vmax`` itself takes the last colour.

    Returns
    -------
    ndarray of uint8, shape (..., 4)

    Examples
    --------
    >>> import numpy as np
    >>> table = np.arange(5, dtype=np.uint8)[:, None].repeat(4, axis=1)
    >>> apply_table(np.array([0.0, 9.0, 10.0, 11.0, -1.0, np.nan]), table, 0, 10)[:, 0].tolist()
    [0, 1, 1, 3, 2, 4]
    """
    n = len(table) - 3
    out = np.empty((values.size, 4), np.uint8)
    if values.dtype.kind in "iu" and values.dtype.itemsize == 1:
        every = np.arange(256, dtype=np.uint8).view(values.dtype.newbyteorder("="))
        colours = np.empty((256, 4), np.uint8)
        _take_colours(_scale(every, vmin, vmax, n), table, colours)
        # One 32-bit word a pixel: NumPy takes whole words without the interpreter lock.
        np.take(
            colours.view(np.uint32).ravel(),
            values.ravel().view(np.uint8),
            out=out.view(np.uint32).ravel(),
            mode="clip",
        )
    else:
        _take_colours(_scale(values, vmin, vmax, n).ravel(), table, out)
    return out.reshape(*values.shape, 4)
