# The service: uWSGI, the app and the engine. nginx stands before it: see docker-compose.yml.

FROM python:3.13.5-bookworm AS build
WORKDIR /srv/app
RUN python -m venv /srv/venv
ENV PATH=/srv/venv/bin:$PATH
COPY . .
RUN pip install --no-cache-dir -r requirements.txt

FROM python:3.13.5-slim-bookworm
COPY --from=build /srv /srv
WORKDIR /srv/app
ENV PATH=/srv/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    SOCKET=/run/app/uwsgi.sock
USER 10001:10001
# Ctrl-C's signal: uWSGI ends at once.
STOPSIGNAL SIGINT
CMD ["uwsgi", "--ini", "uwsgi.ini", "--binary-path", "/srv/venv/bin/python"]
