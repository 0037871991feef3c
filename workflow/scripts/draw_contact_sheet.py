"""Draw where a crop variant crops a study's photos."""

from pathlib import Path
from typing import TYPE_CHECKING

from oac.command import plain_errors
from oac.crop_options import crop_params
from oac.pretrain.augment import Augmentation
from oac.pretrain.host_photos import HostPhotos
from oac.pretrain.run import training_crops, training_images
from oac.report.contact_sheet import contact_sheet, first_samples
from oac.report.style import save

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    """Draw the first samples of a run with seed 0."""
    images = training_images(smk.input.images)
    proposals = smk.input.get("proposals")
    policy, boxes, scale_lower = training_crops(
        crop_params(smk.params.crops), Path(proposals) if proposals else None, images["image_id"].tolist()
    )
    samples = first_samples(
        HostPhotos(smk.params.photos, images, resident_gib=0),
        boxes,
        policy,
        scale_lower,
        view_size=smk.params.view_size,
        augmentation=Augmentation(**smk.params.augment),
    )
    figure = contact_sheet(samples, policy, scale_lower, smk.params.names["labels"][smk.wildcards.crops])
    save(figure, Path(smk.output[0]).with_suffix(""))


if __name__ == "__main__":
    with plain_errors(snakemake.log[0]):
        main(snakemake)
