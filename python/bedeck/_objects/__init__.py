"""Where named bytes lie, behind `bedeck.objects`: a folder, or S3, GCS and Azure."""

__all__: list[str] = []
