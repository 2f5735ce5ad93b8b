"""The real servers, one small file each: the command line, and where to look inside.

A module NAME here makes `live("NAME", app)` work. It holds

    INSTALL     the command that brings the server
    TAKES_FD    True if it can be handed a listening socket that is already bound
    INTERFACE   "asgi" if the app must speak that; left out it is WSGI
    SIGNALS     what signals to its master ask for, by name, where there is a choice
    command()   the command line as a person would write it, as a list of words
    files()     for a server that is told by files: {name: text}, as a person would write them.
                The options are then those of files(), and command() gets the folder alone
    READY       what each worker writes when it is up, if a knock on the port cannot tell;
                the port has to take a connection all the same
    FAILED      what its log says when the app could not be loaded, if it runs on without
"""


def flags(options: dict[str, object]) -> list[str]:
    """Turn {"keep_alive": 5, "reload": True} into ["--keep-alive", "5", "--reload"]."""
    words: list[str] = []
    for name, value in options.items():
        flag = "--" + name.replace("_", "-")
        if value is True:
            words.append(flag)
        elif value is not None and value is not False:
            words += [flag, str(value)]
    return words
