"""The dataset for other programs: records of a form, as a file or as a folder of `datasets`."""

from selfguide_lite.dataset_files.forms import Form, form_named
from selfguide_lite.dataset_files.records import records
from selfguide_lite.dataset_files.writing import write_dataset, write_json_lines

__all__ = ["Form", "form_named", "records", "write_dataset", "write_json_lines"]
