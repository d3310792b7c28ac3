"""The sections of report.md, one file each, with section(report) -> str."""
