import dataclasses

import pytest

from gan_helpers import RECIPES
from gan_helpers.models.recipes import read_recipe


@pytest.mark.parametrize("name", RECIPES)
def test_a_name_is_its_recipe(name):
    assert read_recipe(name) is RECIPES[name]


def test_changes_follow_the_name():
    recipe = read_recipe(
        "quick, loss=hinge,d_normalisation=spectral,augmentation=colour+cutout,batch_size=16,minibatch_std=true,"
        "r1_weight=0.5,augmentation_target=0.6"
    )
    expected = dataclasses.replace(
        RECIPES["quick"],
        loss="hinge",
        d_normalisation="spectral",
        augmentation=("colour", "cutout"),
        batch_size=16,
        minibatch_std=True,
        r1_weight=0.5,
        augmentation_target=0.6,
    )
    assert recipe == expected
    recipe = read_recipe("quick,augmentation=none,d_normalisation=none,augmentation_target=none")
    assert recipe == dataclasses.replace(RECIPES["quick"], d_normalisation="none")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fast", "expected a recipe of quick, .*; received 'fast'"),
        ("quick,lose=hinge", "expected a field of Recipe, such as loss.*; received 'lose'"),
        ("quick,batch_size=many", "expected batch_size as a whole number; received 'many'"),
        ("quick,r1_weight=", "expected r1_weight as a number; received ''"),
        ("quick,flip=perhaps", "expected flip as true or false; received 'perhaps'"),
    ],
)
def test_what_there_is_not(text, message):
    with pytest.raises(ValueError, match=message):
        read_recipe(text)
