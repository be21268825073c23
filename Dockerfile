# The service: uWSGI, the app and the engine. nginx stands before it: see docker-compose.yml.

FROM python:3.13.5-bookworm AS build
WORKDIR /srv/app
RUN python -m venv /srv/venv
ENV PATH=/srv/venv/bin:$PATH
COPY . .
RUN pip install --no-cache-dir -r requirements.txt

FROM python:3.13.5-slim-bookworm
# The letters of the pictures that links to stories show.
RUN apt-get update \
    && apt-get install -y --no-install-recommends fonts-dejavu-core=2.37-6 \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /srv /srv
WORKDIR /srv/app
# Where the stories are kept: a new volume takes its owner from here.
RUN install -d -o 10001 -g 10001 data
ENV PATH=/srv/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    SOCKET=/run/app/uwsgi.sock
USER 10001:10001
# uWSGI finishes the stories it has begun; uwsgi.ini says how long that may take.
STOPSIGNAL SIGTERM
# A PORT in .env is for nginx.
CMD ["env", "-u", "PORT", "uwsgi", "--ini", "uwsgi.ini", "--binary-path", "/srv/venv/bin/python"]
