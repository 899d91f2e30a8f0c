"""Makes the pictures of mails in `sample_emails/pictures/` anew, when the look changes. Needs a Chromium.

    python -m tests.make_pictures

Those of the staff page, `staff-*.png`, are taken by hand of the sample mails, with `python -m tests.browsers`.
"""

from ion.demo import forwarding
from ion.errors import IonError
from ion.notify.pictures import Chromium
from tests.make_samples import FOLDER, rendered

HEIGHT = 1180  # pixels: both addresses
PICTURES = {"order-light.png": (768, False), "order-narrow-dark.png": (360, True)}


def main() -> None:
    chromium = Chromium.find()
    html = forwarding.opened(rendered("hub", "en")).html
    if chromium is None or html is None:
        raise IonError("there is no Chromium on the PATH")
    for name, (width, dark) in PICTURES.items():
        chromium.picture(html, FOLDER / "pictures" / name, width=width, height=HEIGHT, dark=dark)


if __name__ == "__main__":
    main()
