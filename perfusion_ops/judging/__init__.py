"""What a drawn picture is worth: scores without another model, and the choice of a point among several."""
