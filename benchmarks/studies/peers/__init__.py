"""The field's defaults on our crops, for the time that our recipe takes."""
