"""How `draw_faces` paints: a head is an egg in space, and each feature a soft shape placed on its surface.

`paint` calls one painter after the other, from what is furthest away to what is nearest. Each takes the canvas and
the measures of those faces that have the part.
"""

import numpy as np

from gan_helpers.data.drawn_shapes import (
    CHIN,
    HEAD_TOP,
    LIGHT_Y,
    Canvas,
    Patch,
    clip,
    colour_of,
    egg,
    eye_place,
    head_egg,
    hue,
    measures,
    only,
    place,
    smooth,
    squared,
    wave,
)


def paint(table, hidden, size):
    """Paint the faces of a table: uint8 (faces, size, size, 3)."""
    face = measures(table, hidden)
    canvas = Canvas(len(hidden), size)
    _paint_background(canvas, face)
    _paint_back_hair(canvas, face)
    _paint_body(canvas, face)
    _paint_head(canvas, face)
    for side in (-1, 1):
        _paint_eye(canvas, face, side)
    _paint_mouth(canvas, face)
    for some, part in ((table["moustache"] > 0, _paint_moustache), (table["eyeglasses"] > 0, _paint_eyeglasses),
                       (face.has_hair, _paint_hair), (table["earrings"] > 0, _paint_earrings),
                       (table["hat"] > 0, _paint_hat)):  # fmt: skip
        part_of = only(face, some)
        if part_of is not None:
            part(canvas, part_of)
    return canvas.bytes()


def _paint_background(canvas, face):
    patch = Patch(canvas, face, -1, 1, -1, 1, on_head=False)
    value = 0.25 + 0.65 * face.background_light
    near = hue(face.background_colour, 0.12 + 0.3 * face.luck[12], value)
    far = hue((face.background_colour + 0.12 * face.luck[13]) % 1, 0.2 + 0.3 * face.luck[12], value * 0.62)
    glow = patch.glow(-0.5 * face.light_direction, -0.3, 2.0, 1.9)
    canvas.rgb[:] = far
    patch.blend(glow, near)


def _strands(face, x, y, pixel):
    """The hair's own shading, about -1 to 1: strands fanning out from above the head, or curls."""
    fan = (x - 0.2 * face.side) / (y + 2.0)
    if face.wave.any():
        fan += face.wave * 0.6 * wave(y * 1.7 + face.luck[6])
    shade = np.zeros_like(fan)
    for turns, strength, along in ((7, 0.45, 0.1), (17, 0.35, 0.3), (37, 0.3, -0.2)):
        strength = strength * float(np.clip(1.5 - 1.6 * turns * pixel, 0, 1))
        if strength:
            shade += strength * (1 - face.curl) * wave(fan * turns + along * y + face.luck[7] * turns)
    if face.curl.any():
        knots = wave(x * 4.3 + 0.35 * wave(y * 3.1 + face.luck[8]) + face.luck[9])
        knots = knots * wave(y * 4.7 + 0.35 * wave(x * 3.7 + face.luck[10]) + face.luck[11])
        shade += 1.1 * face.curl * knots
    return shade


def _sway(face, y):
    """How far wavy hair has moved sideways; more so towards its ends."""
    return face.wave * 1.2 * wave(y * 1.3 + face.luck[6]) * clip(y + 0.2) if face.wave.any() else 0.0


def _curls(face, x, y):
    """Bumps of the outline of curly hair."""
    return face.curl * (wave(2.1 * x + face.luck[9]) + wave(y * 2.3 + face.luck[10])) if face.curl.any() else 0.0


def _hair_colours(face, light, strands):
    """Dark, plain and shining hair, by the light on it."""
    tone = light + 0.3 * strands
    colour = face.hair_dark + (face.hair - face.hair_dark) * clip(tone * 1.6)
    colour += (face.hair_light - face.hair) * clip(tone * 2.2 - 1.5)
    return colour


def _paint_back_hair(canvas, face):
    face = only(face, (face.back + face.bun)[:, 0, 0] > 0)
    if face is None:
        return
    wide = face.wide * np.maximum(face.back, 0.3)
    top, bottom = HEAD_TOP * face.top, np.maximum(face.back_end, 0.1)
    patch = Patch(canvas, face, -wide * 1.3 - 0.3, wide * 1.3 + 0.3, -top * 1.5, bottom * 1.15)
    x, y = patch.x + 0.5 * face.turn * face.wide * 0.3, patch.y
    rim = x + _sway(face, y)
    q, nx, _ = egg(rim, y, wide, top, bottom, 0.75, -0.06)
    q += 0.1 * _curls(face, x, y)
    cover = patch.inside(q, wide) * (face.back > 0)
    cover = np.maximum(cover, patch.ellipse(-0.25 * face.turn, -0.87, 0.3 * face.bun + 1e-3, 0.2 * face.bun + 1e-3))
    light = 0.32 + 0.14 * (nx * face.light_x) + 0.45 * face.bun * (y < -0.75)
    patch.blend(cover, _hair_colours(face, light, _strands(face, x, y, patch.pixel)))


def _paint_body(canvas, face):
    """Neck and shoulders, which do not tilt with the head, and the shadow that the head casts on them."""
    lean = face.x - 0.35 * face.sin
    top = face.y + 0.3
    patch = Patch(canvas, face, -1, 1, top, 1, on_head=False)
    x, y = patch.x - 0.7 * lean, patch.y
    neck = 0.30 + 0.03 * face.jaw + 0.03 * face.face_width
    flare = np.maximum(y - 0.62, 0)
    wide = neck + 1.4 * flare * flare
    skin = clip(0.5 + (wide - np.abs(x)) / patch.pixel)
    light = 0.6 + 0.35 * face.light_x * x / wide - 0.22 * (x / wide) ** 2
    under, _, _ = egg(patch.x - face.x + 0.7 * face.sin - 0.3 * face.turn * face.wide, y - face.y - 0.14,
                       face.wide, 0.7, face.chin, face.square, face.taper)  # fmt: skip
    light -= 0.5 * smooth(1.25 - under * 0.75)
    patch.blend(skin, face.skin_dark + (face.skin - face.skin_dark) * clip(light))

    slope = np.maximum(np.abs(x) - 0.28, 0)
    shoulder = 0.76 + 0.32 * slope + 0.1 * slope * slope
    collar = np.where(face.clothing_style == 0, 0.97 - 2.2 * x * x, 1.12 - 1.15 * np.abs(x))
    edge = np.maximum(shoulder, collar)
    cover = clip(0.5 + (y - edge) / patch.pixel)
    light = 0.85 + 0.25 * face.light_x * x - 0.25 * clip(1 - (y - edge) * 9) - 0.3 * clip(1.2 - under * 0.6)
    light += 0.05 * wave(x * 2.3 + y * 0.7 + face.luck[8])
    patch.blend(cover, face.clothes * (0.45 + 0.6 * light))
    flap = (face.clothing_style == 2) * patch.band(edge - 0.02, np.minimum(edge + 0.13, 1.15 - 0.55 * np.abs(x)))
    patch.blend(flap, face.clothes * 0.35 + 0.62)


def _paint_head(canvas, face):
    for side in (-1, 1):
        _paint_ear(canvas, face, side)
    patch = Patch(canvas, face, -1.2 * face.wide, 1.2 * face.wide, -0.82, face.chin + 0.1)
    x, y = patch.x, patch.y
    q, nx, ny = head_egg(face, x, y)
    nz = np.sqrt(np.maximum(1.02 - q, 0.02))
    light = 0.4 + 0.5 * (nx * face.light_x + ny * LIGHT_Y + nz * (0.25 + face.light_z))
    light += _modelling(patch, face)
    cover = patch.inside(q, face.wide)
    lit = clip(light)
    colour = face.skin_dark + (face.skin - face.skin_dark) * lit
    colour += (1.0 - face.skin) * (0.35 * clip(light - 1.0))
    patch.blend(cover, colour)
    for side in (-1, 1):
        cheek_x, cheek_y, squeeze = place(face, side * 0.56, 0.24)
        spot = Patch(canvas, face, cheek_x - 0.2, cheek_x + 0.2, cheek_y - 0.16, cheek_y + 0.16)
        red = spot.glow(cheek_x, cheek_y, 0.2 * squeeze + 0.02, 0.15)
        spot.blend(red * (0.08 + 0.42 * face.blush), face.skin * colour_of(0.98, 0.58, 0.56))
    bearded = only(face, face.beard[:, 0, 0] > 0)
    if bearded is not None:
        _paint_beard(canvas, bearded)
    _paint_nostrils(canvas, face)


def _modelling(patch, face):
    """What sockets, brow, nose, cheeks, lips, chin, wrinkles and the hair's cast shadow add to the light."""
    shade = np.zeros_like(patch.y)

    def relief(x, y, rx, ry, height, flat=0.0):
        """A bump that catches the light on the side that faces it, and a hollow where height is negative."""
        window = patch.window(face, x - rx, x + rx, y - ry, y + ry)
        dx, dy = (patch.x[window] - x) * (1 / rx), (patch.y[window] - y) * (1 / ry)
        rise = np.maximum(1 - dx * dx - dy * dy, 0)
        dx *= height * face.light_x
        dy *= height * LIGHT_Y
        dx += dy
        dx += flat * rise
        dx *= rise
        shade[window] += dx

    for side in (-1, 1):
        eye_x, eye_y, squeeze = place(face, side * eye_place(face), 0.0)
        relief(eye_x, eye_y - 0.04, 0.21 * squeeze, 0.17, -0.25, -0.22)
        relief(eye_x, eye_y + 0.13, 0.17 * squeeze, 0.06, 0.25, -0.08 - 0.15 * face.age_lines)
        cheek_x, cheek_y, squeeze = place(face, side * 0.55, 0.26)
        relief(cheek_x, cheek_y - 0.03 * face.smile, 0.25 * squeeze, 0.2, 0.3 + 0.12 * face.smile, 0.05)
    size = 1 + 0.28 * face.nose_size
    bridge_x, bridge_y, _ = place(face, 0.0, 0.05, 0.12)
    tip_x, tip_y, _ = place(face, 0.0, 0.23, 0.26)
    relief(bridge_x, bridge_y, 0.105 * size, 0.3, 0.75, 0.14)
    relief(tip_x - 0.13 * face.light_x * size, tip_y - 0.03, 0.12 * size, 0.15, 0.0, -0.3 * np.abs(face.light_x))
    relief(tip_x, tip_y, 0.12 * size, 0.1 * size, 0.8, 0.12)
    relief(tip_x - 0.05 * face.light_x, tip_y + 0.11, 0.12 * size, 0.055, 0.0, -0.42)
    mouth_x, mouth_y, _ = place(face, 0.0, 0.42)
    relief(mouth_x, mouth_y + 0.115, 0.16, 0.05, 0.0, -0.2)
    relief(mouth_x, mouth_y + 0.25, 0.2, 0.13, 0.35, 0.06)
    q = squared(patch.x - 0.05 * face.light_x, 0.0, face.wide * face.opening)
    q += squared(np.minimum(patch.y - 0.25, 0), 0.0, 0.25 - face.hairline - 0.06)
    shade -= 0.34 * smooth((q - 0.75) * 2.2) * (face.volume > 0.95)
    return shade


def _paint_ear(canvas, face, side):
    x = side * face.wide * (0.97 - 0.06 * side * face.turn) - 0.1 * face.turn
    y = 0.06 + 0.03 * face.head_nod
    patch = Patch(canvas, face, x - 0.1, x + 0.1, y - 0.2, y + 0.2)
    lean = x - 0.25 * side * (patch.y - y)  # Ears lean outwards at their top.
    q = squared(patch.x, lean, 0.085) + squared(patch.y, y, 0.17)
    light = 0.62 + 0.3 * side * face.light_x - 0.45 * patch.glow(x + 0.01 * side, y, 0.07, 0.12)
    patch.blend(patch.inside(q, 0.1), face.skin_dark + (face.skin - face.skin_dark) * clip(light))


def _paint_beard(canvas, face):
    patch = Patch(canvas, face, -1.15 * face.wide, 1.15 * face.wide, 0.0, face.chin + 0.22)
    x, y = patch.x, patch.y
    length = 0.16 * face.luck[9] ** 2
    down = np.maximum(y, 0)
    shifted = x - (0.42 * face.turn * face.wide / CHIN) * down
    q, nx, ny = egg(shifted, y, face.wide * 1.02, HEAD_TOP, face.chin + 0.02 + length, face.square, face.taper)
    mouth_x, mouth_y, _ = place(face, 0.0, 0.42)
    cheek = squared(x, mouth_x * 0.8, face.wide * 0.83) + squared(y, -0.06, 0.44)
    lip = squared(x, mouth_x, 0.23) + squared(y, mouth_y - 0.02, 0.13)
    soft = 0.25 * smooth((cheek - 0.9) * 2.5) + 0.75 * clip((cheek - 1) * 9)
    cover = patch.inside(q, face.wide) * soft * smooth((lip - 0.7) * 2.0) * smooth((y - 0.02) * 6)
    light = 0.42 + 0.3 * (nx * face.light_x) - 0.15 * ny + 0.2 * face.light_z
    strands = _strands(face, x * 1.4, y * 1.4, patch.pixel * 1.4)
    patch.blend(cover * (0.55 + 0.4 * clip(face.luck[9] * 3)), _hair_colours(face, light, strands))


def _paint_nostrils(canvas, face):
    size = 1 + 0.28 * face.nose_size
    x, y, _ = place(face, 0.0, 0.28, 0.2)
    patch = Patch(canvas, face, x - 0.16, x + 0.16, y - 0.08, y + 0.07)
    for side in (-1, 1):
        hole = patch.ellipse(x + side * 0.05 * size, y - 0.005, 0.026 * size, 0.016 * size - 0.006 * face.head_nod)
        patch.blend(0.75 * hole, face.skin_dark * 0.55)
        wing = patch.glow(x + side * 0.105 * size, y - 0.025, 0.03 * size, 0.06 * size)
        patch.blend(0.6 * wing, face.skin_dark)
    shine = patch.glow(x - 0.02 + 0.04 * face.light_x, y - 0.065, 0.05, 0.04)
    patch.blend(0.3 * shine, face.skin * 0.4 + 0.6)


def _paint_eye(canvas, face, side):
    x, y, squeeze = place(face, side * eye_place(face), 0.0)
    squeeze = np.maximum(squeeze, 0.55)
    wide = (0.125 + 0.016 * face.eye_size) * squeeze
    patch = Patch(canvas, face, x - 1.75 * wide, x + 1.75 * wide, y - 0.34, y + 0.2)
    u = (patch.x - x) / wide
    lean = 0.012 * side * u
    bulge = 1 - u * u
    upper = y - lean - (0.066 + 0.02 * face.eye_size) * bulge
    lower = y - lean + (0.052 + 0.014 * face.eye_size - 0.016 * np.maximum(face.smile, 0)) * bulge
    opening = patch.band(upper, lower)
    white = 0.9 - 0.22 * clip(1 - (patch.y - upper) * 18) - 0.1 * u * u
    patch.blend(opening, colour_of(1.0, 0.975, 0.955) * white)

    seen_x, radius = x + (0.028 * face.gaze + 0.012 * face.turn) * squeeze, 0.065 + 0.008 * face.eye_size
    seen_y = y - 0.012
    round_ = radius * (0.5 + 0.5 * squeeze)
    iris = patch.ellipse(seen_x, seen_y, round_, radius) * opening
    depth = 0.55 + 0.6 * patch.glow(seen_x, seen_y + 0.04, 0.07, 0.08)
    patch.blend(iris, face.iris * depth)
    patch.blend(patch.ellipse(seen_x, seen_y, 0.45 * round_, 0.45 * radius) * opening, np.float32(0.04))
    patch.blend(0.35 * opening * clip(1 - (patch.y - upper) * 22), face.skin_dark * 0.3)
    spark = patch.ellipse(seen_x + 0.022 * (face.light_direction * 0.8 - 0.25), seen_y - 0.024, 0.017, 0.017)
    patch.blend(0.95 * spark * (opening > 0.2), np.float32(1.0))

    taper = np.maximum(1.12 - u * u, 0)
    lash = patch.band(upper - 0.024 * taper, upper + 0.008 * taper)
    patch.blend(0.9 * lash, face.skin_dark * 0.28)
    crease = patch.band(upper - 0.055 * taper, upper - 0.037 * taper)
    patch.blend((0.4 + 0.3 * face.age_lines) * crease, face.skin_dark)
    rim = patch.band(lower, lower + 0.016 * taper)
    patch.blend(0.4 * rim, face.skin_dark)
    bag = patch.band(lower + 0.045 * taper, lower + 0.062 * taper)
    patch.blend(0.4 * face.age_lines * bag, face.skin_dark)

    across = side * u * 0.78  # Brow: from -1 at the nose to 1 at the temple.
    brow_y = y - 0.2 + 0.04 * (across - 0.2) ** 2 - (0.05 * face.brow_angle - 0.01) * (across - 0.2)
    half = (0.026 + 0.012 * face.brow_thickness) * np.maximum(1 - 0.45 * across, 0) * clip((1 - across * across) * 3)
    brow = patch.band(brow_y - half, brow_y + half)
    patch.blend(0.82 * brow, face.hair_dark * 0.8 + face.hair * 0.35)


def _paint_mouth(canvas, face):
    x, y, squeeze = place(face, 0.0, 0.42)
    smile, glad = face.smile, np.maximum(face.smile, 0)
    wide = (0.195 + 0.055 * glad) * squeeze
    patch = Patch(canvas, face, x - 0.42, x + 0.42, y - 0.22, y + 0.2)
    u = (patch.x - x) / wide
    bulge = np.maximum(1 - u * u, 0)
    line = y - smile * 0.08 * (u * u - 0.45) - 0.02 * face.mouth_open
    gap = face.mouth_open * (0.105 + 0.03 * face.luck[12]) * bulge
    top, bottom = line - 0.25 * gap, line + 0.75 * gap
    full = 1 + 0.4 * face.lip_size
    bow = 1 - 0.3 * np.maximum(1 - 9 * u * u, 0)
    upper = patch.band(top - 0.052 * full * bulge * bow, top)
    lower = patch.band(bottom, bottom + 0.062 * full * bulge)
    patch.blend(upper, face.lips * 0.8)
    patch.blend(lower, face.lips * (1.0 + 0.14 * patch.glow(x + 0.05 * face.light_x, y + 0.035, 0.13, 0.05)))
    inside = patch.band(top, bottom)
    patch.blend(inside, colour_of(0.26, 0.07, 0.08))
    teeth = patch.band(top, top + np.minimum(0.62 * gap, 0.06)) * (1 - 0.3 * u * u)
    patch.blend(teeth, colour_of(0.95, 0.93, 0.89))
    seam = patch.band(line - 0.009, line + 0.011) * clip((1.08 - u * u) * 6) * (1 - face.mouth_open)
    patch.blend(0.85 * seam, face.lips * 0.35)
    for side in (-1, 1):
        corner = patch.glow(x + side * wide * 1.05, y - smile * 0.034, 0.05, 0.045)
        patch.blend((0.25 + 0.25 * glad) * corner, face.skin_dark)
        fold_x = x + side * (wide * 0.8 + 0.07 + 0.45 * (patch.y - y + 0.12))
        fold = np.maximum(1 - np.abs(patch.x - fold_x) * 28, 0)
        fold *= clip((patch.y - y + 0.19) * 9) * clip((y + 0.06 - patch.y) * 9)
        patch.blend((0.22 * glad + 0.5 * face.age_lines) * fold, face.skin_dark)


def _paint_moustache(canvas, face):
    x, y, squeeze = place(face, 0.0, 0.42)
    wide = (0.25 + 0.03 * face.luck[7]) * squeeze
    patch = Patch(canvas, face, x - 0.32, x + 0.32, y - 0.18, y + 0.14)
    u = (patch.x - x) / wide
    taper = np.maximum(1 - u * u, 0)
    middle = y - 0.085 + 0.1 * u * u - 0.05 * face.smile * (u * u - 0.3) - 0.02 * face.mouth_open
    cover = patch.band(middle - 0.055 * taper, middle + (0.035 + 0.02 * np.minimum(np.abs(u) * 4, 1)) * taper)
    light = 0.5 + 0.2 * u * face.light_x
    patch.blend(0.95 * cover, _hair_colours(face, light, _strands(face, patch.x * 2, patch.y * 2, patch.pixel * 2)))


def _paint_hair(canvas, face):
    """The hair in front: a cap on the skull, and what falls beside the face, open where the face looks out."""
    wide, top = face.wide * face.volume, HEAD_TOP * face.top
    patch = Patch(canvas, face, -wide * 1.25 - 0.1, wide * 1.25 + 0.1, -top * 1.2, face.end * 1.2)
    x, y = patch.x + 0.1 * face.turn * face.wide, patch.y
    sway = _sway(face, y)
    long = (face.end > 0.3).astype(np.float32)  # What is short hugs the skull; what is long hangs straight.
    q, nx, ny = egg(x + sway, y, wide, top, face.end, 0.3 + 0.5 * long, 0.16 - 0.2 * long)
    curl = _curls(face, x, y)
    q += 0.1 * curl
    strands = _strands(face, x, y, patch.pixel)

    # The opening: an arch over the forehead, lower under a fringe, swept to one side, and open downwards.
    fringe = face.fringe * (face.volume > 1.05)
    hairline = face.hairline + fringe * 0.24 + 0.03 * strands * (0.4 + fringe)
    arch = np.minimum(y - 0.25 - face.sweep * face.side * (x - 0.1 * face.side), 0) / (0.25 - hairline)
    look = x - face.turn * face.wide * 0.42 + 0.6 * sway
    across = look / (face.wide * face.opening * (1 + 0.1 * np.maximum(y - 0.3, 0)))
    arch = arch * arch
    hole = across * across + arch * (1 - 0.5 * fringe * (1 - arch)) + 0.06 * curl
    cover = patch.inside(q, wide) * clip(0.5 + (hole - 1) * (0.3 / patch.pixel))
    cover *= clip(long + (face.end - y) * 8)  # Short hair thins out before the ears.
    nz = np.sqrt(np.maximum(1 - q, 0.03))
    light = 0.27 + 0.36 * (nx * face.light_x + ny * LIGHT_Y * (y < 0) + nz * face.light_z)
    ring = squared(ny + 0.12 * nx * nx, -0.68, 0.2)
    light += (0.2 - 0.1 * face.curl) * np.maximum(1 - ring, 0) * (1 + strands)
    light -= 0.2 * clip(1.25 - (hole - 1) * 2.5) * clip((y + 0.2) * 2)
    patch.blend(cover, _hair_colours(face, light, strands))


def _paint_earrings(canvas, face):
    for side in (-1, 1):
        x = side * face.wide * (0.97 - 0.06 * side * face.turn) - 0.1 * face.turn
        patch = Patch(canvas, face, x - 0.08, x + 0.08, 0.16, 0.36)
        radius = (0.035 + 0.015 * face.luck[13]) * (side * face.turn < 0.14) + 1e-4
        gold = colour_of(0.93, 0.76, 0.36)
        patch.blend(patch.ellipse(x, 0.26, radius, radius * 1.2), gold)
        patch.blend(patch.ellipse(x - 0.012, 0.245, 0.3 * radius, 0.35 * radius), np.float32(1.0))


def _paint_eyeglasses(canvas, face):
    frame = hue(face.luck[10], 0.5 * face.luck[11], 0.1 + 0.35 * face.luck[8])
    square = face.luck[13]
    for side in (-1, 1):
        x, y, squeeze = place(face, side * eye_place(face), 0.01, 0.08)
        squeeze = np.maximum(squeeze, 0.6)
        wide, high = (0.19 + 0.01 * face.luck[6]) * squeeze, 0.145 + 0.02 * face.luck[7]
        patch = Patch(canvas, face, x - 0.95, x + 0.95, y - 0.24, y + 0.24)
        corner = 0.145 - 0.085 * square
        dx = np.maximum(np.abs(patch.x - x) - wide + corner, 0)
        dy = np.maximum(np.abs(patch.y - y) - high + corner, 0)
        distance = (np.sqrt(dx * dx + dy * dy) - corner) / patch.pixel
        half = (0.014 + 0.014 * face.luck[12]) / patch.pixel
        lens = clip(0.5 - distance)
        glare = clip(1 - np.abs((patch.x - x) + 0.6 * (patch.y - y) + 0.05) * 14)
        patch.blend(lens * (0.08 + 0.22 * glare), np.float32(1.0))
        rim = clip(0.5 + half - distance) - clip(0.5 - half - distance)
        out = side * (patch.x - x)
        arm = patch.band(y - 0.055, y - 0.02) * (out > wide) * clip((face.wide * 1.02 - side * patch.x) / patch.pixel)
        bridge = patch.band(y - 0.05, y - 0.015) * (out < -wide) * (out > -wide - 0.12)
        patch.blend(np.maximum(rim, np.maximum(arm, bridge)), frame)


def _paint_hat(canvas, face):
    """A knitted beanie with a folded rim, or a cap with a peak."""
    wide, top = face.wide * np.maximum(face.volume * 1.02, 1.1), HEAD_TOP * 1.24
    patch = Patch(canvas, face, -wide * 1.25, wide * 1.25, -top, 0.0)
    x, y = patch.x + 0.05 * face.turn, patch.y
    cap = face.hat_style
    q, nx, ny = egg(x, y + 0.2, np.minimum(wide, np.where(cap > 0, 1.12 * face.wide, np.float32(0.72))), top - 0.2, 0.6)
    brim = -0.40 + 0.16 * (x * x)
    cover = patch.inside(q, wide) * clip(0.5 + (brim - y) / patch.pixel)
    nz = np.sqrt(np.maximum(1 - q, 0.03))
    light = 0.35 + 0.4 * (nx * face.light_x + ny * LIGHT_Y + nz * face.light_z)
    ribs = float(np.clip(1.4 - 1.6 * 9 * patch.pixel, 0, 1)) * (1 - cap) * 0.08
    light += ribs * wave(9 * nx * (1.2 - 0.3 * ny))
    fold = (1 - cap) * clip(0.5 + (y - brim + 0.17) / patch.pixel)
    light -= 0.1 * (1 - cap) * np.maximum(1 - np.abs(y - brim + 0.18) * 20, 0)
    patch.blend(cover, (face.hat_paint * (1 + 0.18 * fold)) * (0.35 + 0.85 * light))
    turned = x - face.turn * 0.3
    u = turned / (0.98 * face.wide)
    bulge = 1 - u * u
    peak = patch.band(-0.45 + 0.1 * x * x, -0.43 + 0.1 * x * x + 0.16 * bulge) * cap
    shadow = patch.band(-0.43, -0.39 + 0.24 * bulge) * cap
    patch.blend(0.4 * shadow, face.skin_dark * 0.7)
    patch.blend(peak, face.hat_paint * (0.62 - 0.2 * u * -face.light_x + 0.15 * clip((y + 0.5) * 5)))
