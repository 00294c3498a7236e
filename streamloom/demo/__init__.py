"""The whole product in one process. Read the modules in this order:

source      which exchange, and why
folder      the data folder: one process at a time, one exchange for ever
threads     roles, web server and Celery worker as threads that can be stopped
progress    how far the history is
run         all of it together
"""
