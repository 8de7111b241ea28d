"""What can go wrong with a directory, apart from a wrong password. The texts are for its administrator."""


class ServerFailed(Exception):
    """This server cannot be reached or answers in no sensible way; another one of the directory may."""


class ServerSilent(ServerFailed):
    """This server did not answer in time."""


class DirectoryRefused(Exception):
    """The directory answers, and not what the settings expect: its other servers would say the same."""
