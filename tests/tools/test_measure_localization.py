import measure_localization


def test_half_of_the_photos_is_kept_to_judge_by_and_always_the_same_half():
    names = [f"ILSVRC2012_val_{i:08d}.JPEG" for i in (347, 361, 556, 580, 699, 807)]
    answers = [measure_localization.chosen_on(name) for name in names]
    assert answers == [False, True, True, True, False, False]
    many = [f"ILSVRC2012_val_{i:08d}.JPEG" for i in range(650)]
    assert 290 < sum(map(measure_localization.chosen_on, many)) < 360
