"""What is raised where a certificate proves nothing."""


class CertificateError(ValueError):
    """The certificate is not whole, belongs to another network, or claims something else."""


def reason(error: BaseException) -> str:
    """An error's message, in words where it is a missing entry."""
    return f"it has no entry {error}" if isinstance(error, KeyError) else str(error)
