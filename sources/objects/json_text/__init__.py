"""JSON of any size cut into records or values, damaged ones too, without touching their bytes."""
