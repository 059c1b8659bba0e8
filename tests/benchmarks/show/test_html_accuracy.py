"""What the page says of accuracy: confusions, flips and the pictures that they are of."""

import base64
import io
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from edgecnn.benchmarks.show.html import to_html
from tests.benchmarks.show.pages import Page, accuracy, file_result, pictures, report

pytestmark = [pytest.mark.workstation("reports are made on the workstation"), pytest.mark.usefixtures("no_figures")]


def test_confusions_are_shaded_off_the_diagonal_only() -> None:
    html = to_html(report(file_result("int8.tflite", of=accuracy(flips=30))), None)
    table = html[html.index('<table class="confusion') :]
    page = Page(table[: table.index("</table>")])
    cells = page.all("td")
    assert [index for index, cell in enumerate(cells) if cell.get("class") == "right"] == [0, 4, 8]
    shaded = [index for index, cell in enumerate(cells) if "style" in cell]
    assert shaded == [1, 3, 5, 6]  # One image at 3, ten at each of the others.
    depths = [float(str(cells[index]["style"])[-5:-1]) for index in shaded]
    assert depths[1] < min(depths[0], *depths[2:]) <= max(depths) == 0.65


def test_many_classes_are_a_list_of_the_most_frequent_confusions() -> None:
    many = accuracy(flips=60, classes=25)
    html = to_html(report(file_result("int8.tflite", of=many), class_names=tuple(f"kind {k}" for k in range(25))), None)
    assert '<table class="confusion' not in html
    listed = re.findall(r"<li>(kind \d+) taken for (kind \d+): (\d+) of (\d+)</li>", html)
    assert len(listed) == 20
    counts = [int(count) for _, _, count, _ in listed]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] == max(count for row, column, count in many.confusion if row != column)
    assert "20 classes that moved most" in html
    table = html[html.index('class="grid recall"') :].split("</table>")[0]
    shown = re.findall(r'<th scope="row">(kind \d+)</th>', table)
    moved = [abs(of.correct - of.reference_correct) for of in many.classes]  # Each class has eight images.
    assert len(shown) == 20
    assert set(shown) >= {f"kind {k}" for k in range(25) if moved[k] > sorted(moved)[5]}
    assert shown == sorted(shown, key=lambda name: int(name.split()[1]))


def test_a_confusion_is_of_the_images_of_its_class_and_a_class_without_any_has_no_recall() -> None:
    many = accuracy(flips=60, images=205, classes=25)
    html = to_html(report(file_result("int8.tflite", of=many), class_names=tuple(f"kind {k}" for k in range(25))), None)
    listed = re.findall(r"<li>kind (\d+) taken for kind \d+: \d+ of (\d+)</li>", html)
    assert {images for _, images in listed} == {"8", "9"}
    assert all(int(images) == many.classes[int(label)].images for label, images in listed)
    of = accuracy(flips=0)
    empty = replace(of, classes=(*of.classes, replace(of.classes[0], images=0, correct=0, reference_correct=0)))
    html = to_html(report(file_result("int8.tflite", of=empty), class_names=("cat", "dog", "owl", "yak")), None)
    assert html[html.index('class="grid recall"') :].split("</table>")[0].count("<tr>") == 4


def test_flips_are_pictures_where_there_are_images_and_a_table_elsewhere() -> None:
    html = to_html(report(file_result("int8.tflite")), pictures())
    assert len(Page(html).all("img")) == 6
    assert "make this page with" not in html
    assert Page(html).text.count("lost #19") == 4
    assert "gained #0, is cat Keras owl (67 %) → cat (67 %)" in Page(html).text
    kinds = [of["class"] for of in Page(html).all("span", "kind")]
    assert kinds == ["kind lost"] * 4 + ["kind both-wrong", "kind gained"]
    page = Page(to_html(report(file_result("int8.tflite")), None))
    assert not page.all("img")
    assert "make this page with" in page.text
    assert "#0 gained cat owl 67 cat 67" in page.text
    assert "#199 lost dog dog 67 owl 67" in page.text


def test_pictures_show_their_own_images_pixel_by_pixel() -> None:
    for channels in (1, 3):
        images = pictures(channels=channels)
        page = Page(to_html(report(file_result("int8.tflite")), images))
        for of in page.all("img"):
            number = int(str(of["alt"]).split()[-1])
            data = base64.b64decode(str(of["src"]).partition(",")[2])
            shown = np.asarray(Image.open(io.BytesIO(data)))
            np.testing.assert_array_equal(shown.reshape(images.shape), images.array[number])


def test_large_photos_are_made_small() -> None:
    small, large = (len(to_html(report(file_result("int8.tflite")), pictures(side=side, channels=3))) for side in (96, 300))
    assert large < 1.1 * small


def test_no_flips_are_said_and_more_than_sixty_counted() -> None:
    html = to_html(report(file_result("int8.tflite", of=accuracy(flips=70))), pictures())
    assert len(Page(html).all("img")) == 60
    assert "and 12 more that" in Page(html).text
    html = to_html(report(file_result("float32.tflite", of=accuracy(flips=0))), pictures())
    assert "that of Keras: 0 None." in Page(html).text
    assert not Page(html).all("img")


def test_what_was_not_measured_is_said() -> None:
    made = report(replace(file_result("int8.tflite"), profile_problem="no profiler <here>"))
    html = to_html(made, None)
    assert "keras files were not measured" in html
    assert "not measured: no profiler &lt;here&gt;" in html


def test_other_images_than_the_measured_ones_are_refused() -> None:
    with pytest.raises(ValueError, match="200 test images, got 199"):
        to_html(report(file_result("int8.tflite")), pictures(199))
