"""All fuzz targets, by name."""

from tests.fuzz import objects, texts

TARGETS = {target.name: target for target in (*objects.TARGETS, *texts.TARGETS)}
