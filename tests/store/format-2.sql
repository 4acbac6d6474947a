-- A database as the program wrote it in format 2, with views and a trigger of a user: a task, two rounds of inputs, answers,
-- a finished training on data/tiny-vicuna.gguf, an evaluation.
BEGIN TRANSACTION;
CREATE TABLE "_sqlite_migrations" (
   "id" INTEGER PRIMARY KEY,
   "migration_set" TEXT,
   "name" TEXT,
   "applied_at" TEXT
);
INSERT INTO "_sqlite_migrations" VALUES(1,'selfguide-lite','2026-11-21-tables','2026-11-24 16:17:37.162209+00:00');
INSERT INTO "_sqlite_migrations" VALUES(2,'selfguide-lite','2026-11-24-calibration','2026-11-24 16:17:37.200989+00:00');
INSERT INTO "_sqlite_migrations" VALUES(3,'selfguide-lite','2026-11-24-filters-for-real-models','2026-11-24 16:17:37.203402+00:00');
CREATE TABLE adapter (
  id INTEGER PRIMARY KEY,
  task_id INTEGER NOT NULL REFERENCES task(id),
  run_id INTEGER NOT NULL REFERENCES run(id),
  model_id INTEGER NOT NULL REFERENCES model(id),
  path TEXT NOT NULL,
  sha256 TEXT NOT NULL,
  settings TEXT NOT NULL DEFAULT '{}',
  created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  UNIQUE (run_id, sha256)
);
CREATE TABLE evaluation (
  id INTEGER PRIMARY KEY,
  task_id INTEGER NOT NULL REFERENCES task(id),
  method TEXT NOT NULL,
  metric TEXT NOT NULL,
  model_id INTEGER REFERENCES model(id),
  adapter_id INTEGER REFERENCES adapter(id),
  data_sha256 TEXT NOT NULL DEFAULT '',
  n INTEGER NOT NULL DEFAULT 0,
  settings TEXT NOT NULL DEFAULT '{}',
  template TEXT,
  template_sha256 TEXT,
  program_version TEXT,
  mean REAL,
  low REAL,
  high REAL,
  created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  finished_at TEXT
, prior_id INTEGER REFERENCES prior(id));
INSERT INTO "evaluation" VALUES(1,1,'few-shot','accuracy',1,NULL,'dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd',5,'{"output_max_tokens": 64}','{#- Asks for one answer: the instruction, the seed examples as chat turns, then the input.
    Variables: instruction, examples (each .input, .output), input. -#}
{%- for example in examples -%}
{%- call user() -%}{% if loop.first %}{{ instruction }}

{% endif %}{{ example.input }}{%- endcall -%}
{%- call assistant() -%}{{ example.output }}{%- endcall -%}
{%- endfor -%}
{%- call user() -%}{% if not examples %}{{ instruction }}

{% endif %}{{ input }}{%- endcall -%}
','bbcbbdaad3c81f92e273814792daf05223462fb32d0950b9f72993ea3f866ff0','0.1.0',NULL,NULL,NULL,'2026-11-24T16:17:37.452Z',NULL,NULL);
CREATE TABLE example (
  task_id INTEGER NOT NULL REFERENCES task(id),
  number INTEGER NOT NULL,
  input TEXT NOT NULL,
  output TEXT NOT NULL,
  folded TEXT,
  PRIMARY KEY (task_id, number)
);
INSERT INTO "example" VALUES(1,0,'What a bright morning this is!','glad','what a bright morning this is!');
INSERT INTO "example" VALUES(1,1,'The bus was late again today.','sad','the bus was late again today.');
INSERT INTO "example" VALUES(1,2,'We won the match by one goal.','glad','we won the match by one goal.');
CREATE TABLE input (
  id INTEGER PRIMARY KEY,
  task_id INTEGER NOT NULL REFERENCES task(id),
  run_id INTEGER REFERENCES run(id),
  round INTEGER,
  prompt INTEGER,
  label TEXT,
  text TEXT NOT NULL,
  length INTEGER,
  folded TEXT,
  good TEXT,
  flawed TEXT,
  finish_reason TEXT,
  prompt_tokens INTEGER,
  completion_tokens INTEGER,
  mean_logprob REAL,
  sketched INTEGER,
  created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  UNIQUE (task_id, round, prompt)
);
INSERT INTO "input" VALUES(1,1,1,0,0,'glad','The sun is out and the lake is warm.',36,'the sun is out and the lake is warm.','[1, 0, 2]','[]','stop',0,0,NULL,1,'2026-11-24T16:17:37.371Z');
INSERT INTO "input" VALUES(2,1,1,0,1,'sad','My train left without me.',25,'my train left without me.','[1, 0, 2]','[]','stop',0,0,NULL,1,'2026-11-24T16:17:37.372Z');
INSERT INTO "input" VALUES(3,1,1,0,2,'glad','We found the lost cat.',22,'we found the lost cat.','[1, 0, 2]','[]','stop',0,0,NULL,1,'2026-11-24T16:17:37.372Z');
INSERT INTO "input" VALUES(4,1,1,0,3,'sad','It rained into the tent.',24,'it rained into the tent.','[1, 0, 2]','[]','stop',0,0,NULL,1,'2026-11-24T16:17:37.392Z');
INSERT INTO "input" VALUES(5,1,1,1,0,'glad','Tea and cake at four, how lovely.',33,'tea and cake at four, how lovely.','[1, 0, 2]','[1, 2]','stop',0,0,NULL,1,'2026-11-24T16:17:37.392Z');
INSERT INTO "input" VALUES(6,1,1,1,1,'sad','The soup was cold again.',24,'the soup was cold again.','[1, 0, 2]','[1, 2]','stop',0,0,NULL,1,'2026-11-24T16:17:37.401Z');
INSERT INTO "input" VALUES(7,1,1,1,2,'glad','Grandma is well again.',22,'grandma is well again.','[1, 0, 2]','[1, 2]','stop',0,0,NULL,1,'2026-11-24T16:17:37.402Z');
INSERT INTO "input" VALUES(8,1,1,1,3,'sad','Somebody scratched the new car.',31,'somebody scratched the new car.','[1, 0, 2]','[1, 2]','stop',0,0,NULL,1,'2026-11-24T16:17:37.402Z');
CREATE TABLE input_band (
  hash INTEGER NOT NULL,
  input_id INTEGER NOT NULL REFERENCES input(id) ON DELETE CASCADE,
  PRIMARY KEY (hash, input_id)
) WITHOUT ROWID;
INSERT INTO "input_band" VALUES(-9075820068366837201,1);
INSERT INTO "input_band" VALUES(-8944200744678033321,8);
INSERT INTO "input_band" VALUES(-8545113397029916614,8);
INSERT INTO "input_band" VALUES(-8523208793156904531,2);
INSERT INTO "input_band" VALUES(-8406866187862955925,5);
INSERT INTO "input_band" VALUES(-8394407083581636590,7);
INSERT INTO "input_band" VALUES(-8235114724596335398,1);
INSERT INTO "input_band" VALUES(-8092745674634814563,5);
INSERT INTO "input_band" VALUES(-7870722022542216722,4);
INSERT INTO "input_band" VALUES(-7841567041930988138,8);
INSERT INTO "input_band" VALUES(-7827767518332561360,2);
INSERT INTO "input_band" VALUES(-7709166404709984491,8);
INSERT INTO "input_band" VALUES(-7691992231568931236,8);
INSERT INTO "input_band" VALUES(-7490495560317559510,7);
INSERT INTO "input_band" VALUES(-7383319318170205661,3);
INSERT INTO "input_band" VALUES(-6902535174260611417,1);
INSERT INTO "input_band" VALUES(-6778581222980493280,5);
INSERT INTO "input_band" VALUES(-6421156659490303512,5);
INSERT INTO "input_band" VALUES(-6141581234836878675,5);
INSERT INTO "input_band" VALUES(-6131529236670132642,8);
INSERT INTO "input_band" VALUES(-6006630495116604045,3);
INSERT INTO "input_band" VALUES(-5761730246985593992,3);
INSERT INTO "input_band" VALUES(-5715913708203942685,3);
INSERT INTO "input_band" VALUES(-5714332669508286076,5);
INSERT INTO "input_band" VALUES(-5663528086281516081,6);
INSERT INTO "input_band" VALUES(-5564136075928699200,1);
INSERT INTO "input_band" VALUES(-5545244775469174043,3);
INSERT INTO "input_band" VALUES(-5216719872779049971,1);
INSERT INTO "input_band" VALUES(-5134475161035791767,2);
INSERT INTO "input_band" VALUES(-5081260163747623907,1);
INSERT INTO "input_band" VALUES(-5060836350218190910,4);
INSERT INTO "input_band" VALUES(-4518826687488708432,2);
INSERT INTO "input_band" VALUES(-4444339679407272293,6);
INSERT INTO "input_band" VALUES(-4389736915890091090,5);
INSERT INTO "input_band" VALUES(-4326353513369111737,7);
INSERT INTO "input_band" VALUES(-4314011349795578634,5);
INSERT INTO "input_band" VALUES(-4179278148391809325,3);
INSERT INTO "input_band" VALUES(-3791816358434508820,1);
INSERT INTO "input_band" VALUES(-3654431995339586706,6);
INSERT INTO "input_band" VALUES(-3358844308231487340,3);
INSERT INTO "input_band" VALUES(-3351093405362932972,8);
INSERT INTO "input_band" VALUES(-3337532191057561860,7);
INSERT INTO "input_band" VALUES(-3096214713821761861,6);
INSERT INTO "input_band" VALUES(-2977298534089488049,2);
INSERT INTO "input_band" VALUES(-2819301961283902345,2);
INSERT INTO "input_band" VALUES(-2712149825877544018,1);
INSERT INTO "input_band" VALUES(-2625343672607872139,2);
INSERT INTO "input_band" VALUES(-2514925255042751422,4);
INSERT INTO "input_band" VALUES(-2474881437578633954,2);
INSERT INTO "input_band" VALUES(-1911824930773571948,2);
INSERT INTO "input_band" VALUES(-1657811503372019876,7);
INSERT INTO "input_band" VALUES(-1654065664072357894,4);
INSERT INTO "input_band" VALUES(-1272446515332385858,4);
INSERT INTO "input_band" VALUES(-1139144269110298796,7);
INSERT INTO "input_band" VALUES(-1009629871565551263,2);
INSERT INTO "input_band" VALUES(-985286670009663359,4);
INSERT INTO "input_band" VALUES(-882721747420746876,4);
INSERT INTO "input_band" VALUES(-732388889374320207,1);
INSERT INTO "input_band" VALUES(-661734313606230469,3);
INSERT INTO "input_band" VALUES(-578742940536722950,4);
INSERT INTO "input_band" VALUES(-305562136913808847,1);
INSERT INTO "input_band" VALUES(-258903865983520356,3);
INSERT INTO "input_band" VALUES(-47467602340461685,1);
INSERT INTO "input_band" VALUES(134536655067096501,7);
INSERT INTO "input_band" VALUES(151041712818867022,8);
INSERT INTO "input_band" VALUES(179351360464517317,1);
INSERT INTO "input_band" VALUES(248443565971846646,8);
INSERT INTO "input_band" VALUES(298217695093210013,4);
INSERT INTO "input_band" VALUES(370605474182810943,7);
INSERT INTO "input_band" VALUES(505382638788608191,8);
INSERT INTO "input_band" VALUES(919419337213909170,6);
INSERT INTO "input_band" VALUES(1190976588262189065,6);
INSERT INTO "input_band" VALUES(1263888541379170348,5);
INSERT INTO "input_band" VALUES(1384421637483697824,3);
INSERT INTO "input_band" VALUES(1414537868349959344,4);
INSERT INTO "input_band" VALUES(1466143830485046941,2);
INSERT INTO "input_band" VALUES(1534858925996190298,3);
INSERT INTO "input_band" VALUES(1613465539157291992,8);
INSERT INTO "input_band" VALUES(1676066512598581907,2);
INSERT INTO "input_band" VALUES(1914860435582384498,4);
INSERT INTO "input_band" VALUES(2065520927383226684,6);
INSERT INTO "input_band" VALUES(2159215550726437924,6);
INSERT INTO "input_band" VALUES(2325352490400845336,6);
INSERT INTO "input_band" VALUES(2650749940815986576,8);
INSERT INTO "input_band" VALUES(2707394734152579346,3);
INSERT INTO "input_band" VALUES(2766805522128094180,5);
INSERT INTO "input_band" VALUES(2902148361947960211,6);
INSERT INTO "input_band" VALUES(3005512198265875927,7);
INSERT INTO "input_band" VALUES(3006829128311527087,7);
INSERT INTO "input_band" VALUES(3038359326648045528,7);
INSERT INTO "input_band" VALUES(3175196203050589687,5);
INSERT INTO "input_band" VALUES(3401664351514066435,3);
INSERT INTO "input_band" VALUES(3453543274873584768,6);
INSERT INTO "input_band" VALUES(3680596483177709319,6);
INSERT INTO "input_band" VALUES(3794764064436429543,1);
INSERT INTO "input_band" VALUES(3814143333609311112,1);
INSERT INTO "input_band" VALUES(4657207950036879515,7);
INSERT INTO "input_band" VALUES(4732101524252256481,8);
INSERT INTO "input_band" VALUES(4942371807127296448,4);
INSERT INTO "input_band" VALUES(5051333190078937952,6);
INSERT INTO "input_band" VALUES(5168455835419983122,8);
INSERT INTO "input_band" VALUES(5233649675744737914,3);
INSERT INTO "input_band" VALUES(5353309750527533270,4);
INSERT INTO "input_band" VALUES(5591768104751804907,6);
INSERT INTO "input_band" VALUES(5600484092362903917,7);
INSERT INTO "input_band" VALUES(5787434545775634186,2);
INSERT INTO "input_band" VALUES(5848254866715407909,7);
INSERT INTO "input_band" VALUES(6260392062331546725,6);
INSERT INTO "input_band" VALUES(6265380348554540846,7);
INSERT INTO "input_band" VALUES(6352018879883631511,1);
INSERT INTO "input_band" VALUES(6391042693344870997,4);
INSERT INTO "input_band" VALUES(6512285274758408589,1);
INSERT INTO "input_band" VALUES(6899800831798238067,2);
INSERT INTO "input_band" VALUES(6965276483988693727,8);
INSERT INTO "input_band" VALUES(7199024392622732027,8);
INSERT INTO "input_band" VALUES(7226860960122134375,4);
INSERT INTO "input_band" VALUES(7239062887085690106,5);
INSERT INTO "input_band" VALUES(7364354831114320150,7);
INSERT INTO "input_band" VALUES(7534621530486105248,2);
INSERT INTO "input_band" VALUES(7938969863295505049,3);
INSERT INTO "input_band" VALUES(8389082301885999699,5);
INSERT INTO "input_band" VALUES(8468123783971713711,3);
INSERT INTO "input_band" VALUES(8529218796346197506,6);
INSERT INTO "input_band" VALUES(8549220441892646271,5);
INSERT INTO "input_band" VALUES(8809063688421624921,5);
INSERT INTO "input_band" VALUES(8861808096824297959,5);
INSERT INTO "input_band" VALUES(8951685505241761803,4);
INSERT INTO "input_band" VALUES(9143724051074735523,2);
CREATE TABLE input_noise (
  input_id INTEGER NOT NULL REFERENCES input(id) ON DELETE CASCADE,
  term TEXT NOT NULL,
  PRIMARY KEY (input_id, term)
) WITHOUT ROWID;
CREATE TABLE label (
  task_id INTEGER NOT NULL REFERENCES task(id),
  number INTEGER NOT NULL,
  text TEXT NOT NULL, meaning TEXT, share REAL, folded TEXT,
  PRIMARY KEY (task_id, number)
);
INSERT INTO "label" VALUES(1,0,'glad',NULL,NULL,'glad');
INSERT INTO "label" VALUES(1,1,'sad',NULL,NULL,'sad');
CREATE TABLE model (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  path TEXT NOT NULL,
  sha256 TEXT NOT NULL,
  architecture TEXT,
  parameters INTEGER,
  adapter TEXT
);
INSERT INTO "model" VALUES(1,'tiny-vicuna','tiny-vicuna.gguf','928015bbb2f2b5b5a3c5e48c11efbeb7374614c42df96f00d02eb945afc53da1','llama',4000000,NULL);
CREATE TABLE near_twin (
  input_id INTEGER NOT NULL REFERENCES input(id) ON DELETE CASCADE,
  twin_id INTEGER NOT NULL REFERENCES input(id) ON DELETE CASCADE,
  similarity REAL NOT NULL,
  PRIMARY KEY (input_id, twin_id)
) WITHOUT ROWID;
CREATE TABLE noise_term (
  task_id INTEGER NOT NULL REFERENCES task(id),
  term TEXT NOT NULL CHECK (term <> ''),
  PRIMARY KEY (task_id, term)
);
INSERT INTO "noise_term" VALUES(1,'sure, i''d be happy to');
INSERT INTO "noise_term" VALUES(1,'sure, i can help');
INSERT INTO "noise_term" VALUES(1,'i''d be happy to help');
INSERT INTO "noise_term" VALUES(1,'i''m happy to help');
INSERT INTO "noise_term" VALUES(1,'sure, here');
INSERT INTO "noise_term" VALUES(1,'sure! here');
INSERT INTO "noise_term" VALUES(1,'^certainly! here');
INSERT INTO "noise_term" VALUES(1,'^of course! here');
INSERT INTO "noise_term" VALUES(1,'great question');
INSERT INTO "noise_term" VALUES(1,'i hope this helps');
INSERT INTO "noise_term" VALUES(1,'as an ai language model');
INSERT INTO "noise_term" VALUES(1,'as an ai assistant');
INSERT INTO "noise_term" VALUES(1,'^as an ai ');
INSERT INTO "noise_term" VALUES(1,'^as an ai,');
INSERT INTO "noise_term" VALUES(1,'^i''m sorry, but i can');
INSERT INTO "noise_term" VALUES(1,'^here is the');
INSERT INTO "noise_term" VALUES(1,'^here''s the');
INSERT INTO "noise_term" VALUES(1,'^here is a');
INSERT INTO "noise_term" VALUES(1,'^here''s a');
INSERT INTO "noise_term" VALUES(1,'^here are ');
INSERT INTO "noise_term" VALUES(1,'^here is one');
INSERT INTO "noise_term" VALUES(1,'^here''s one');
INSERT INTO "noise_term" VALUES(1,'^write one');
INSERT INTO "noise_term" VALUES(1,'^write another');
INSERT INTO "noise_term" VALUES(1,'write another, different');
INSERT INTO "noise_term" VALUES(1,'different one whose answer');
INSERT INTO "noise_term" VALUES(1,'new, different input');
INSERT INTO "noise_term" VALUES(1,'possibly flawed');
INSERT INTO "noise_term" VALUES(1,'good inputs:');
INSERT INTO "noise_term" VALUES(1,'^input:');
INSERT INTO "noise_term" VALUES(1,'^output:');
INSERT INTO "noise_term" VALUES(1,'^answer:');
INSERT INTO "noise_term" VALUES(1,'

');
INSERT INTO "noise_term" VALUES(1,'\_');
CREATE TABLE output (
  id INTEGER PRIMARY KEY,
  input_id INTEGER NOT NULL REFERENCES input(id),
  run_id INTEGER REFERENCES run(id),
  sample INTEGER NOT NULL DEFAULT 0,
  method TEXT NOT NULL DEFAULT 'sample',
  text TEXT NOT NULL,
  length INTEGER,
  label TEXT,
  answer_id INTEGER,
  answer_length INTEGER,
  weight REAL NOT NULL DEFAULT 1 CHECK (weight >= 0),
  logprob REAL,
  finish_reason TEXT,
  prompt_tokens INTEGER,
  completion_tokens INTEGER,
  created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  UNIQUE (input_id, method, sample)
);
INSERT INTO "output" VALUES(1,1,2,0,'score','glad',4,'glad',1,4,0.9,-0.1,'stop',0,0,'2026-11-24T16:17:37.431Z');
INSERT INTO "output" VALUES(2,1,2,1,'score','sad',3,'sad',2,3,0.1,-0.1,'stop',0,0,'2026-11-24T16:17:37.431Z');
INSERT INTO "output" VALUES(3,2,2,0,'score','glad',4,'glad',3,4,0.1,-0.1,'stop',0,0,'2026-11-24T16:17:37.431Z');
INSERT INTO "output" VALUES(4,2,2,1,'score','sad',3,'sad',4,3,0.9,-0.1,'stop',0,0,'2026-11-24T16:17:37.432Z');
INSERT INTO "output" VALUES(5,3,2,0,'score','glad',4,'glad',5,4,0.9,-0.1,'stop',0,0,'2026-11-24T16:17:37.432Z');
INSERT INTO "output" VALUES(6,3,2,1,'score','sad',3,'sad',6,3,0.1,-0.1,'stop',0,0,'2026-11-24T16:17:37.432Z');
INSERT INTO "output" VALUES(7,4,2,0,'score','glad',4,'glad',7,4,0.1,-0.1,'stop',0,0,'2026-11-24T16:17:37.432Z');
INSERT INTO "output" VALUES(8,4,2,1,'score','sad',3,'sad',8,3,0.9,-0.1,'stop',0,0,'2026-11-24T16:17:37.432Z');
INSERT INTO "output" VALUES(9,5,2,0,'score','glad',4,'glad',9,4,0.9,-0.1,'stop',0,0,'2026-11-24T16:17:37.432Z');
INSERT INTO "output" VALUES(10,5,2,1,'score','sad',3,'sad',10,3,0.1,-0.1,'stop',0,0,'2026-11-24T16:17:37.449Z');
INSERT INTO "output" VALUES(11,6,2,0,'score','glad',4,'glad',11,4,0.1,-0.1,'stop',0,0,'2026-11-24T16:17:37.449Z');
INSERT INTO "output" VALUES(12,6,2,1,'score','sad',3,'sad',12,3,0.9,-0.1,'stop',0,0,'2026-11-24T16:17:37.449Z');
INSERT INTO "output" VALUES(13,7,2,0,'score','glad',4,'glad',13,4,0.9,-0.1,'stop',0,0,'2026-11-24T16:17:37.449Z');
INSERT INTO "output" VALUES(14,7,2,1,'score','sad',3,'sad',14,3,0.1,-0.1,'stop',0,0,'2026-11-24T16:17:37.449Z');
INSERT INTO "output" VALUES(15,8,2,0,'score','glad',4,'glad',15,4,0.1,-0.1,'stop',0,0,'2026-11-24T16:17:37.449Z');
INSERT INTO "output" VALUES(16,8,2,1,'score','sad',3,'sad',16,3,0.9,-0.1,'stop',0,0,'2026-11-24T16:17:37.449Z');
CREATE TABLE output_noise (
  output_id INTEGER NOT NULL REFERENCES output(id) ON DELETE CASCADE,
  term TEXT NOT NULL,
  PRIMARY KEY (output_id, term)
) WITHOUT ROWID;
CREATE TABLE prediction (
  id INTEGER PRIMARY KEY,
  evaluation_id INTEGER NOT NULL REFERENCES evaluation(id),
  number INTEGER NOT NULL,
  input TEXT NOT NULL,
  "references" TEXT NOT NULL,
  text TEXT NOT NULL,
  score REAL NOT NULL,
  finish_reason TEXT,
  created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')), label_logprobs TEXT,
  UNIQUE (evaluation_id, number)
);
CREATE TABLE prior (
  id INTEGER PRIMARY KEY,
  task_id INTEGER NOT NULL REFERENCES task(id),
  model_id INTEGER NOT NULL REFERENCES model(id),
  adapter_id INTEGER REFERENCES adapter(id),
  prompt TEXT NOT NULL,
  template_sha256 TEXT NOT NULL DEFAULT '',
  inputs_sha256 TEXT NOT NULL,
  n INTEGER NOT NULL,
  shares TEXT NOT NULL,
  created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
);
CREATE TABLE run (
  id INTEGER PRIMARY KEY,
  task_id INTEGER NOT NULL REFERENCES task(id),
  stage TEXT NOT NULL,
  model_id INTEGER REFERENCES model(id),
  seed INTEGER,
  settings TEXT NOT NULL DEFAULT '{}',
  template TEXT,
  template_sha256 TEXT,
  dataset_sha256 TEXT,
  program_version TEXT,
  started_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  finished_at TEXT,
  reason TEXT
);
INSERT INTO "run" VALUES(1,1,'generate',1,42,'{"accumulation": 2, "agreement_filter": true, "agreement_min_pairs": 10, "annotate_each_round": true, "answer_style": "few-shot", "average_weights": 0.5, "balance": true, "batch_size": 2, "calibrate": true, "calibrate_min_inputs": 20, "consistency_filter": true, "dataset_seed": 0, "epochs": 1.0, "fruitless_rounds": 3, "input_length_filter": true, "input_max_tokens": 500, "input_style": "chat-turns", "input_temperature": 1.0, "input_top_k": 40, "label_condition": true, "label_named_filter": true, "label_order": "in-turn", "learning_rate": null, "length_deviations": 2.0, "length_factor": 3.0, "length_rule": "range", "length_slack_min": 10, "length_slack_share": 0.25, "lora_alpha": 32.0, "lora_dropout": 0.0, "lora_rank": 2, "max_length": 1024, "max_pool_inputs": 6, "max_steps": 150, "method": "score", "min_confidence": 0.0, "min_share": 0.4, "min_steps": 1, "near_duplicate_threshold": 0.8, "noise_filter": true, "noise_list": "modern", "output_length_filter": false, "output_max_tokens": 500, "output_temperature": 0.2, "output_top_k": 10, "prompt_budget": 3000, "prompts_per_draw": 20, "prompts_per_round": 4, "random_labels": false, "rounds": 4, "samples": 10, "weight_decay": 0.0}','{#- Asks for one new input in chat turns: each shown input is the assistant''s, the user''s turn before it asks for it.
    Variables: instruction, shown (each .text, .label, .meaning), label and meaning of the input that is asked for (none
    for a generation task). Only the last turn differs between prompts that show the same inputs. -#}
{%- macro wish(label, meaning) -%}
{%- if label %} whose answer is "{{ label }}"{% if meaning %} ({{ meaning }}){% endif %}{% endif -%}
{%- endmacro -%}
{%- for one in shown -%}
{%- call user() -%}
{%- if loop.first -%}
{{ instruction }}

Write one text{{ wish(one.label, one.meaning) }}.
{%- else -%}
Write another, different one{{ wish(one.label, one.meaning) }}.
{%- endif -%}
{%- endcall -%}
{%- call assistant() -%}{{ one.text }}{%- endcall -%}
{%- endfor -%}
{%- call user() -%}
{%- if not shown -%}
{{ instruction }}

Write one text{{ wish(label, meaning) }}.
{%- else -%}
Write another, different one{{ wish(label, meaning) }}.
{%- endif -%}
{%- endcall -%}
','4588a3e040dda4fb632de43bc58fa930efc3ea1b073d35d0f37eebbf35e63f9e',NULL,'0.1.0','2026-11-24T16:17:37.370Z','2026-11-24T16:17:37.402Z','interrupted');
INSERT INTO "run" VALUES(2,1,'annotate',1,42,'{"accumulation": 2, "agreement_filter": true, "agreement_min_pairs": 10, "annotate_each_round": true, "answer_style": "few-shot", "average_weights": 0.5, "balance": true, "batch_size": 2, "calibrate": true, "calibrate_min_inputs": 20, "consistency_filter": true, "dataset_seed": 0, "epochs": 1.0, "fruitless_rounds": 3, "input_length_filter": true, "input_max_tokens": 500, "input_style": "chat-turns", "input_temperature": 1.0, "input_top_k": 40, "label_condition": true, "label_named_filter": true, "label_order": "in-turn", "learning_rate": null, "length_deviations": 2.0, "length_factor": 3.0, "length_rule": "range", "length_slack_min": 10, "length_slack_share": 0.25, "lora_alpha": 32.0, "lora_dropout": 0.0, "lora_rank": 2, "max_length": 1024, "max_pool_inputs": 6, "max_steps": 150, "method": "score", "min_confidence": 0.0, "min_share": 0.4, "min_steps": 1, "near_duplicate_threshold": 0.8, "noise_filter": true, "noise_list": "modern", "output_length_filter": false, "output_max_tokens": 500, "output_temperature": 0.2, "output_top_k": 10, "prompt_budget": 3000, "prompts_per_draw": 20, "prompts_per_round": 4, "random_labels": false, "rounds": 4, "samples": 10, "weight_decay": 0.0}','{#- Asks for one answer: the instruction, the seed examples as chat turns, then the input.
    Variables: instruction, examples (each .input, .output), input. -#}
{%- for example in examples -%}
{%- call user() -%}{% if loop.first %}{{ instruction }}

{% endif %}{{ example.input }}{%- endcall -%}
{%- call assistant() -%}{{ example.output }}{%- endcall -%}
{%- endfor -%}
{%- call user() -%}{% if not examples %}{{ instruction }}

{% endif %}{{ input }}{%- endcall -%}
','bbcbbdaad3c81f92e273814792daf05223462fb32d0950b9f72993ea3f866ff0',NULL,'0.1.0','2026-11-24T16:17:37.430Z','2026-11-24T16:17:37.449Z','done');
INSERT INTO "run" VALUES(3,1,'train',1,42,'{"accumulation": 2, "alpha": 32, "answer_style": "few-shot", "average_weights": 0.5, "batch_size": 2, "bits": null, "checkpointing": false, "dropout": 0.0, "epochs": 1.0, "learning_rate": null, "max_length": 1024, "max_steps": 150, "min_steps": 1, "rank": 2, "save_steps": null, "seed": 42, "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"], "weight_decay": 0.0}','{#- Asks for one answer: the instruction, the seed examples as chat turns, then the input.
    Variables: instruction, examples (each .input, .output), input. -#}
{%- for example in examples -%}
{%- call user() -%}{% if loop.first %}{{ instruction }}

{% endif %}{{ example.input }}{%- endcall -%}
{%- call assistant() -%}{{ example.output }}{%- endcall -%}
{%- endfor -%}
{%- call user() -%}{% if not examples %}{{ instruction }}

{% endif %}{{ input }}{%- endcall -%}
','bbcbbdaad3c81f92e273814792daf05223462fb32d0950b9f72993ea3f866ff0','b3bb8d76cc34cafe8dc6ad7ad65cea0f5d1db15f9d7911c313e3041d9690d85d','0.1.0','2026-11-24T16:17:48.382Z','2026-11-24T16:18:49.837Z','done');
CREATE TABLE setting (
  task_id INTEGER NOT NULL REFERENCES task(id),
  key TEXT NOT NULL,
  value NUMERIC,
  PRIMARY KEY (task_id, key)
);
INSERT INTO "setting" VALUES(1,'noise_filter',1);
INSERT INTO "setting" VALUES(1,'input_length_filter',1);
INSERT INTO "setting" VALUES(1,'output_length_filter',0);
INSERT INTO "setting" VALUES(1,'length_rule','range');
INSERT INTO "setting" VALUES(1,'length_factor',3);
INSERT INTO "setting" VALUES(1,'length_deviations',2);
INSERT INTO "setting" VALUES(1,'length_slack_share',0.25);
INSERT INTO "setting" VALUES(1,'length_slack_min',10);
INSERT INTO "setting" VALUES(1,'near_duplicate_threshold',0.8);
INSERT INTO "setting" VALUES(1,'label_named_filter',1);
INSERT INTO "setting" VALUES(1,'consistency_filter',1);
INSERT INTO "setting" VALUES(1,'min_share',0.4);
INSERT INTO "setting" VALUES(1,'calibrate',1);
INSERT INTO "setting" VALUES(1,'calibrate_min_inputs',20);
INSERT INTO "setting" VALUES(1,'agreement_filter',1);
INSERT INTO "setting" VALUES(1,'agreement_min_pairs',10);
INSERT INTO "setting" VALUES(1,'min_confidence',0);
INSERT INTO "setting" VALUES(1,'balance',1);
INSERT INTO "setting" VALUES(1,'random_labels',0);
INSERT INTO "setting" VALUES(1,'dataset_seed',0);
CREATE TABLE task (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  kind TEXT NOT NULL CHECK (kind IN ('classification', 'generation')),
  instruction TEXT NOT NULL,
  settings TEXT NOT NULL DEFAULT '{}',
  noise_terms TEXT NOT NULL DEFAULT '[]',
  created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
);
INSERT INTO "task" VALUES(1,'moods','classification','Say whether the writer is glad or sad.','{"rounds": 4, "prompts_per_round": 4, "fruitless_rounds": 3, "min_share": 0.4, "epochs": 1.0, "min_steps": 1, "batch_size": 2, "accumulation": 2, "max_length": 1024, "lora_rank": 2}','["sure, i''d be happy to", "sure, i can help", "i''d be happy to help", "i''m happy to help", "sure, here", "sure! here", "^certainly! here", "^of course! here", "great question", "i hope this helps", "as an ai language model", "as an ai assistant", "^as an ai ", "^as an ai,", "^i''m sorry, but i can", "^here is the", "^here''s the", "^here is a", "^here''s a", "^here are ", "^here is one", "^here''s one", "^write one", "^write another", "write another, different", "different one whose answer", "new, different input", "possibly flawed", "good inputs:", "^input:", "^output:", "^answer:", "\n\n", "\\_"]','2026-11-24T16:17:37.295Z');
CREATE TABLE train_step (
  run_id INTEGER NOT NULL REFERENCES run(id),
  step INTEGER NOT NULL,
  total INTEGER NOT NULL,
  epoch REAL NOT NULL,
  loss REAL,
  learning_rate REAL,
  grad_norm REAL,
  tokens_per_second REAL,
  memory INTEGER,
  created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  PRIMARY KEY (run_id, step)
);
INSERT INTO "train_step" VALUES(3,1,2,6.66666666666666629659e-01,6.4393024444580078125e+00,0.0,2.15203437805175781241e+01,1.56267131502412297554e+02,650379264,'2026-11-24T16:18:48.263Z');
INSERT INTO "train_step" VALUES(3,2,2,1.0,6.37285089492797851562e+00,3.28129089472602294627e-03,2.2878358840942382812e+01,1.81918684180257116626e+02,652926976,'2026-11-24T16:18:49.257Z');
CREATE TABLE verdict (
  id INTEGER PRIMARY KEY,
  task_id INTEGER NOT NULL REFERENCES task(id),
  adapter_id INTEGER REFERENCES adapter(id),
  metric TEXT NOT NULL,
  data_sha256 TEXT NOT NULL,
  n INTEGER NOT NULL,
  over TEXT,
  before REAL,
  after REAL,
  low REAL,
  high REAL,
  sentence TEXT NOT NULL,
  winner_id INTEGER REFERENCES evaluation(id),
  created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
);
CREATE UNIQUE INDEX "idx__sqlite_migrations_migration_set_name"
    ON "_sqlite_migrations" ("migration_set", "name");
CREATE UNIQUE INDEX model_once ON model(sha256, ifnull(adapter, ''));
CREATE INDEX input_unsketched ON input(id) WHERE sketched IS NULL;
CREATE INDEX near_twin_back ON near_twin(twin_id, input_id);
CREATE INDEX input_folded ON input(task_id, folded);
CREATE INDEX output_answer ON output(input_id, answer_id, weight, answer_length, length);
CREATE INDEX output_unlabelled ON output(input_id) WHERE label IS NULL AND answer_length > 0;
CREATE INDEX output_empty ON output(input_id) WHERE answer_length = 0;
CREATE UNIQUE INDEX evaluation_once ON evaluation(
  task_id, method, metric, ifnull(model_id, 0), ifnull(adapter_id, 0), data_sha256, settings,
  ifnull(template_sha256, '')
);
CREATE TRIGGER example_by_hand AFTER INSERT ON example WHEN NEW.folded IS NULL BEGIN
  UPDATE example SET folded = trim(replace(replace(replace(lower(replace(replace(replace(replace(replace(replace(replace(NEW.input, char(9), ' '), char(10), ' '), char(11), ' '), char(12), ' '), char(13), ' '), char(160), ' '), char(12288), ' ')), ' ', ' ' || char(1)), char(1) || ' ', ''), char(1), '')) WHERE task_id = NEW.task_id AND number = NEW.number;
END;
CREATE TRIGGER input_by_hand AFTER INSERT ON input WHEN NEW.folded IS NULL BEGIN
  UPDATE input SET length = length(text), folded = trim(replace(replace(replace(lower(replace(replace(replace(replace(replace(replace(replace(NEW.text, char(9), ' '), char(10), ' '), char(11), ' '), char(12), ' '), char(13), ' '), char(160), ' '), char(12288), ' ')), ' ', ' ' || char(1)), char(1) || ' ', ''), char(1), '')) WHERE id = NEW.id;
END;
CREATE TRIGGER input_gone AFTER DELETE ON input BEGIN
  DELETE FROM input_noise WHERE input_id = OLD.id;
END;
CREATE TRIGGER output_by_hand AFTER INSERT ON output WHEN NEW.answer_id IS NULL BEGIN
  UPDATE output SET label = (SELECT found.label FROM (SELECT l.number, l.text AS label, trim(replace(replace(replace(lower(replace(replace(replace(replace(replace(replace(replace(l.text, char(9), ' '), char(10), ' '), char(11), ' '), char(12), ' '), char(13), ' '), char(160), ' '), char(12288), ' ')), ' ', ' ' || char(1)), char(1) || ' ', ''), char(1), '')) AS needle, substr(trim(replace(replace(replace(lower(replace(replace(replace(replace(replace(replace(replace(NEW.text, char(9), ' '), char(10), ' '), char(11), ' '), char(12), ' '), char(13), ' '), char(160), ' '), char(12288), ' ')), ' ', ' ' || char(1)), char(1) || ' ', ''), char(1), '')), -2000) AS hay FROM input AS i JOIN label AS l ON l.task_id = i.task_id WHERE i.id = NEW.input_id) AS found JOIN json_each('[' || replace(hex(zeroblob(length(found.hay))), '00', '0,') || '0]') AS place WHERE substr(found.hay, (place.key + 1), length(found.needle)) = found.needle AND NOT ((place.key + 1) > 1 AND (substr(found.hay, (place.key + 1) - 1, 1) GLOB '[a-z0-9_]' OR unicode(substr(found.hay, (place.key + 1) - 1, 1)) >= 192 AND unicode(substr(found.hay, (place.key + 1) - 1, 1)) NOT BETWEEN 3584 AND 3839 AND unicode(substr(found.hay, (place.key + 1) - 1, 1)) NOT BETWEEN 8192 AND 40959 AND unicode(substr(found.hay, (place.key + 1) - 1, 1)) NOT BETWEEN 44032 AND 55203 AND unicode(substr(found.hay, (place.key + 1) - 1, 1)) < 65024) AND (substr(found.needle, 1, 1) GLOB '[a-z0-9_]' OR unicode(substr(found.needle, 1, 1)) >= 192 AND unicode(substr(found.needle, 1, 1)) NOT BETWEEN 3584 AND 3839 AND unicode(substr(found.needle, 1, 1)) NOT BETWEEN 8192 AND 40959 AND unicode(substr(found.needle, 1, 1)) NOT BETWEEN 44032 AND 55203 AND unicode(substr(found.needle, 1, 1)) < 65024)) AND NOT ((substr(found.needle, -1) GLOB '[a-z0-9_]' OR unicode(substr(found.needle, -1)) >= 192 AND unicode(substr(found.needle, -1)) NOT BETWEEN 3584 AND 3839 AND unicode(substr(found.needle, -1)) NOT BETWEEN 8192 AND 40959 AND unicode(substr(found.needle, -1)) NOT BETWEEN 44032 AND 55203 AND unicode(substr(found.needle, -1)) < 65024) AND ifnull((substr(found.hay, (place.key + 1) + length(found.needle), 1) GLOB '[a-z0-9_]' OR unicode(substr(found.hay, (place.key + 1) + length(found.needle), 1)) >= 192 AND unicode(substr(found.hay, (place.key + 1) + length(found.needle), 1)) NOT BETWEEN 3584 AND 3839 AND unicode(substr(found.hay, (place.key + 1) + length(found.needle), 1)) NOT BETWEEN 8192 AND 40959 AND unicode(substr(found.hay, (place.key + 1) + length(found.needle), 1)) NOT BETWEEN 44032 AND 55203 AND unicode(substr(found.hay, (place.key + 1) + length(found.needle), 1)) < 65024), 0)) ORDER BY place.key + length(found.needle) DESC, length(found.needle) DESC LIMIT 1) WHERE id = NEW.id AND label IS NULL;
  UPDATE output SET
    length = length(text),
    answer_length = ifnull(length(label), CASE WHEN trim(text, char(9,10,11,12,13,28,29,30,31,32,133,160,5760,8192,8193,8194,8195,8196,8197,8198,8199,8200,8201,8202,8232,8233,8239,8287,12288)) = '' THEN 0 ELSE length(text) END)
  WHERE id = NEW.id;
  UPDATE output SET answer_id = (SELECT min(o.id) FROM output AS o WHERE o.input_id = output.input_id AND ifnull(o.label, o.text) = ifnull(output.label, output.text)) WHERE input_id = NEW.input_id AND answer_id IS NOT (SELECT min(o.id) FROM output AS o WHERE o.input_id = output.input_id AND ifnull(o.label, o.text) = ifnull(output.label, output.text));
END;
CREATE TRIGGER output_gone AFTER DELETE ON output BEGIN
  DELETE FROM output_noise WHERE output_id = OLD.id;
  UPDATE output SET answer_id = (SELECT min(o.id) FROM output AS o WHERE o.input_id = output.input_id AND ifnull(o.label, o.text) = ifnull(output.label, output.text)) WHERE input_id = OLD.input_id AND answer_id IS NOT (SELECT min(o.id) FROM output AS o WHERE o.input_id = output.input_id AND ifnull(o.label, o.text) = ifnull(output.label, output.text));
END;
CREATE TRIGGER noise_term_gone AFTER DELETE ON noise_term BEGIN
  DELETE FROM input_noise WHERE term = OLD.term
    AND input_id IN (SELECT i.id FROM input AS i WHERE i.task_id = OLD.task_id);
  DELETE FROM output_noise WHERE term = OLD.term AND output_id IN (
    SELECT o.id FROM input AS i JOIN output AS o ON o.input_id = i.id WHERE i.task_id = OLD.task_id);
END;
CREATE UNIQUE INDEX prior_once ON prior(
  task_id, model_id, ifnull(adapter_id, 0), prompt, template_sha256, inputs_sha256
);
CREATE TRIGGER label_by_hand AFTER INSERT ON label WHEN NEW.folded IS NULL BEGIN
  UPDATE label SET folded = trim(replace(replace(replace(lower(replace(replace(replace(replace(replace(replace(replace(NEW.text, char(9), ' '), char(10), ' '), char(11), ' '), char(12), ' '), char(13), ' '), char(160), ' '), char(12288), ' ')), ' ', ' ' || char(1)), char(1) || ' ', ''), char(1), '')) WHERE task_id = NEW.task_id AND number = NEW.number;
END;
CREATE TRIGGER label_edited AFTER UPDATE OF text ON label BEGIN
  UPDATE label SET folded = trim(replace(replace(replace(lower(replace(replace(replace(replace(replace(replace(replace(NEW.text, char(9), ' '), char(10), ' '), char(11), ' '), char(12), ' '), char(13), ' '), char(160), ' '), char(12288), ' ')), ' ', ' ' || char(1)), char(1) || ' ', ''), char(1), '')) WHERE task_id = NEW.task_id AND number = NEW.number;
END;
CREATE TRIGGER input_noise_found AFTER INSERT ON input BEGIN
  INSERT OR IGNORE INTO input_noise SELECT NEW.id, t.term FROM noise_term AS t
    WHERE t.task_id = NEW.task_id AND CASE WHEN t.term GLOB '^?*' THEN instr(char(10) || lower(NEW.text), char(10) || lower(substr(t.term, 2))) ELSE instr(lower(NEW.text), lower(t.term)) END;
END;
CREATE TRIGGER input_edited AFTER UPDATE OF text ON input BEGIN
  UPDATE input SET length = length(text), folded = trim(replace(replace(replace(lower(replace(replace(replace(replace(replace(replace(replace(NEW.text, char(9), ' '), char(10), ' '), char(11), ' '), char(12), ' '), char(13), ' '), char(160), ' '), char(12288), ' ')), ' ', ' ' || char(1)), char(1) || ' ', ''), char(1), '')) WHERE id = NEW.id;
  DELETE FROM input_noise WHERE input_id = NEW.id;
  INSERT OR IGNORE INTO input_noise SELECT NEW.id, t.term FROM noise_term AS t
    WHERE t.task_id = NEW.task_id AND CASE WHEN t.term GLOB '^?*' THEN instr(char(10) || lower(NEW.text), char(10) || lower(substr(t.term, 2))) ELSE instr(lower(NEW.text), lower(t.term)) END;
END;
CREATE TRIGGER output_noise_found AFTER INSERT ON output BEGIN
  INSERT OR IGNORE INTO output_noise SELECT NEW.id, t.term FROM noise_term AS t
    WHERE t.task_id = (SELECT i.task_id FROM input AS i WHERE i.id = NEW.input_id)
      AND CASE WHEN t.term GLOB '^?*' THEN instr(char(10) || lower(NEW.text), char(10) || lower(substr(t.term, 2))) ELSE instr(lower(NEW.text), lower(t.term)) END;
END;
CREATE TRIGGER output_edited AFTER UPDATE OF text ON output BEGIN
  UPDATE output SET label = (SELECT found.label FROM (SELECT l.number, l.text AS label, trim(replace(replace(replace(lower(replace(replace(replace(replace(replace(replace(replace(l.text, char(9), ' '), char(10), ' '), char(11), ' '), char(12), ' '), char(13), ' '), char(160), ' '), char(12288), ' ')), ' ', ' ' || char(1)), char(1) || ' ', ''), char(1), '')) AS needle, substr(trim(replace(replace(replace(lower(replace(replace(replace(replace(replace(replace(replace(NEW.text, char(9), ' '), char(10), ' '), char(11), ' '), char(12), ' '), char(13), ' '), char(160), ' '), char(12288), ' ')), ' ', ' ' || char(1)), char(1) || ' ', ''), char(1), '')), -2000) AS hay FROM input AS i JOIN label AS l ON l.task_id = i.task_id WHERE i.id = NEW.input_id) AS found JOIN json_each('[' || replace(hex(zeroblob(length(found.hay))), '00', '0,') || '0]') AS place WHERE substr(found.hay, (place.key + 1), length(found.needle)) = found.needle AND NOT ((place.key + 1) > 1 AND (substr(found.hay, (place.key + 1) - 1, 1) GLOB '[a-z0-9_]' OR unicode(substr(found.hay, (place.key + 1) - 1, 1)) >= 192 AND unicode(substr(found.hay, (place.key + 1) - 1, 1)) NOT BETWEEN 3584 AND 3839 AND unicode(substr(found.hay, (place.key + 1) - 1, 1)) NOT BETWEEN 8192 AND 40959 AND unicode(substr(found.hay, (place.key + 1) - 1, 1)) NOT BETWEEN 44032 AND 55203 AND unicode(substr(found.hay, (place.key + 1) - 1, 1)) < 65024) AND (substr(found.needle, 1, 1) GLOB '[a-z0-9_]' OR unicode(substr(found.needle, 1, 1)) >= 192 AND unicode(substr(found.needle, 1, 1)) NOT BETWEEN 3584 AND 3839 AND unicode(substr(found.needle, 1, 1)) NOT BETWEEN 8192 AND 40959 AND unicode(substr(found.needle, 1, 1)) NOT BETWEEN 44032 AND 55203 AND unicode(substr(found.needle, 1, 1)) < 65024)) AND NOT ((substr(found.needle, -1) GLOB '[a-z0-9_]' OR unicode(substr(found.needle, -1)) >= 192 AND unicode(substr(found.needle, -1)) NOT BETWEEN 3584 AND 3839 AND unicode(substr(found.needle, -1)) NOT BETWEEN 8192 AND 40959 AND unicode(substr(found.needle, -1)) NOT BETWEEN 44032 AND 55203 AND unicode(substr(found.needle, -1)) < 65024) AND ifnull((substr(found.hay, (place.key + 1) + length(found.needle), 1) GLOB '[a-z0-9_]' OR unicode(substr(found.hay, (place.key + 1) + length(found.needle), 1)) >= 192 AND unicode(substr(found.hay, (place.key + 1) + length(found.needle), 1)) NOT BETWEEN 3584 AND 3839 AND unicode(substr(found.hay, (place.key + 1) + length(found.needle), 1)) NOT BETWEEN 8192 AND 40959 AND unicode(substr(found.hay, (place.key + 1) + length(found.needle), 1)) NOT BETWEEN 44032 AND 55203 AND unicode(substr(found.hay, (place.key + 1) + length(found.needle), 1)) < 65024), 0)) ORDER BY place.key + length(found.needle) DESC, length(found.needle) DESC LIMIT 1) WHERE id = NEW.id;
  UPDATE output SET
    length = length(text),
    answer_length = ifnull(length(label), CASE WHEN trim(text, char(9,10,11,12,13,28,29,30,31,32,133,160,5760,8192,8193,8194,8195,8196,8197,8198,8199,8200,8201,8202,8232,8233,8239,8287,12288)) = '' THEN 0 ELSE length(text) END)
  WHERE id = NEW.id;
  UPDATE output SET answer_id = (SELECT min(o.id) FROM output AS o WHERE o.input_id = output.input_id AND ifnull(o.label, o.text) = ifnull(output.label, output.text)) WHERE input_id = NEW.input_id AND answer_id IS NOT (SELECT min(o.id) FROM output AS o WHERE o.input_id = output.input_id AND ifnull(o.label, o.text) = ifnull(output.label, output.text));
  DELETE FROM output_noise WHERE output_id = NEW.id;
  INSERT OR IGNORE INTO output_noise SELECT NEW.id, t.term FROM noise_term AS t
    WHERE t.task_id = (SELECT i.task_id FROM input AS i WHERE i.id = NEW.input_id)
      AND CASE WHEN t.term GLOB '^?*' THEN instr(char(10) || lower(NEW.text), char(10) || lower(substr(t.term, 2))) ELSE instr(lower(NEW.text), lower(t.term)) END;
END;
CREATE TRIGGER noise_term_new AFTER INSERT ON noise_term BEGIN
  INSERT OR IGNORE INTO input_noise SELECT i.id, NEW.term FROM input AS i
    WHERE i.task_id = NEW.task_id AND CASE WHEN NEW.term GLOB '^?*' THEN instr(char(10) || lower(i.text), char(10) || lower(substr(NEW.term, 2))) ELSE instr(lower(i.text), lower(NEW.term)) END;
  INSERT OR IGNORE INTO output_noise SELECT o.id, NEW.term FROM input AS i JOIN output AS o ON o.input_id = i.id
    WHERE i.task_id = NEW.task_id AND CASE WHEN NEW.term GLOB '^?*' THEN instr(char(10) || lower(o.text), char(10) || lower(substr(NEW.term, 2))) ELSE instr(lower(o.text), lower(NEW.term)) END;
END;
CREATE TRIGGER noise_term_edited AFTER UPDATE ON noise_term BEGIN
  DELETE FROM input_noise WHERE term = OLD.term
    AND input_id IN (SELECT i.id FROM input AS i WHERE i.task_id = OLD.task_id);
  DELETE FROM output_noise WHERE term = OLD.term AND output_id IN (
    SELECT o.id FROM input AS i JOIN output AS o ON o.input_id = i.id WHERE i.task_id = OLD.task_id);
  INSERT OR IGNORE INTO input_noise SELECT i.id, NEW.term FROM input AS i
    WHERE i.task_id = NEW.task_id AND CASE WHEN NEW.term GLOB '^?*' THEN instr(char(10) || lower(i.text), char(10) || lower(substr(NEW.term, 2))) ELSE instr(lower(i.text), lower(NEW.term)) END;
  INSERT OR IGNORE INTO output_noise SELECT o.id, NEW.term FROM input AS i JOIN output AS o ON o.input_id = i.id
    WHERE i.task_id = NEW.task_id AND CASE WHEN NEW.term GLOB '^?*' THEN instr(char(10) || lower(o.text), char(10) || lower(substr(NEW.term, 2))) ELSE instr(lower(o.text), lower(NEW.term)) END;
END;
CREATE VIEW agreement AS
-- Do the labels that inputs were asked for and those that they are answered with go together? Over the answers that no
-- other filter rejects. asked: answers to inputs that were asked for by a label; agreeing: those that are that label;
-- expected: the share that would agree by chance, over the labels the share asked for times the share answered;
-- rarest: the pairs that the rarest label keeps when disagreeing ones go; fallback: agreement_filter is on (enabled)
-- and lists nothing all the same, since that would be fewer than agreement_min_pairs. Classification only.
WITH
  tally AS MATERIALIZED (
    SELECT task_id, asked, answer, count(*) AS n FROM answer_check WHERE reason IS NULL GROUP BY task_id, asked, answer
  ),
  label_tally AS (
    SELECT l.task_id,
           ifnull(sum(CASE WHEN t.asked = l.text THEN t.n END), 0) AS asked,
           ifnull(sum(CASE WHEN t.asked IS NOT NULL AND t.answer = l.text THEN t.n END), 0) AS answered,
           ifnull(sum(CASE WHEN t.asked = l.text AND t.answer = l.text THEN t.n END), 0) AS agreeing,
           ifnull(sum(CASE WHEN t.answer = l.text AND ifnull(t.asked, l.text) = l.text THEN t.n END), 0) AS kept
    FROM label AS l
    JOIN tally AS t ON t.task_id = l.task_id
    GROUP BY l.task_id, l.number
  ),
  found AS (
    SELECT task_id, sum(answered) AS asked, sum(agreeing) AS agreeing, min(kept) AS rarest,
           ifnull(sum(1.0 * asked * answered) / sum(answered) / sum(answered), 0.0) AS expected
    FROM label_tally
    GROUP BY task_id
  )
SELECT f.task_id, f.asked, f.agreeing, f.expected, f.rarest, s.agreement_filter AS enabled,
       s.agreement_filter AND f.agreeing < f.asked AND f.rarest < s.agreement_min_pairs AS fallback
FROM found AS f
JOIN filter_setting AS s ON s.task_id = f.task_id;
CREATE VIEW answer AS
-- Each input's answer: the one that won the vote; or, where calibrate is on and enough kept inputs are answered, the
-- label that has most when every label's share is divided by its mean over the pool (label_prior), multiplied by the
-- share that the label has in life (label.share, else equal), and the results are made to add up to 1
-- (batch calibration, arXiv 2309.17249). `share` is the winner's share of the votes, `confidence` its calibrated share,
-- or its share where nothing is calibrated.
WITH
  calibrated AS MATERIALIZED (
    SELECT task_id, calibrate_min_inputs FROM filter_setting WHERE calibrate AND kind = 'classification'
  ),
  counted AS MATERIALIZED (
    SELECT * FROM vote WHERE place = 1 OR task_id IN (SELECT task_id FROM calibrated)
  ),
  prior AS MATERIALIZED (
    SELECT p.task_id, p.label, nullif(p.mean, 0) AS mean, ifnull(l.share, 1.0) AS wanted
    FROM (WITH
  total AS (
    SELECT v.task_id, v.answer, sum(v.share) AS share, sum(v.place = 1) AS first
    FROM counted AS v
    WHERE v.task_id IN (SELECT task_id FROM label)
      AND v.input_id IN (SELECT id FROM input_verdict WHERE reason IS NULL)
    GROUP BY v.task_id, v.answer
  ),
  leaning AS (
    SELECT l.task_id, l.text AS label, ifnull(t.share, 0.0) AS share, sum(t.first) OVER (PARTITION BY l.task_id) AS n
    FROM label AS l
    LEFT JOIN total AS t ON t.task_id = l.task_id AND t.answer = l.text
  )
SELECT task_id, label, share / n AS mean, n
FROM leaning
WHERE n > 0) AS p
    JOIN calibrated AS c ON c.task_id = p.task_id
    JOIN label AS l ON l.task_id = p.task_id AND l.text = p.label
    WHERE p.n >= c.calibrate_min_inputs
  ),
  weighed AS (
    SELECT c.*, p.label IS NOT NULL AS calibrated, ifnull(c.share / p.mean * p.wanted, 0.0) AS lean
    FROM counted AS c
    LEFT JOIN prior AS p ON p.task_id = c.task_id AND p.label = c.answer
  ),
  placed AS (
    SELECT w.*, sum(w.lean) OVER o AS leans, row_number() OVER o AS rank
    FROM weighed AS w
    WINDOW o AS (
      PARTITION BY w.input_id ORDER BY w.lean DESC, w.place ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
    )
  )
SELECT task_id, input_id, answer, share, CASE WHEN leans > 0 THEN lean / leans ELSE share END AS confidence, n,
       output_id, calibrated
FROM placed
WHERE rank = 1;
CREATE VIEW dataset AS
-- The training pairs. For classification balanced: as many pairs of every label as the rarest label that occurs has.
-- With random_labels on, each pair's output is a label drawn by a hash of the input's place: an ablation that shows
-- what the inputs and the form alone teach.
WITH
  kept AS (SELECT *, min(alike) OVER (PARTITION BY task_id) AS quota FROM pair),
  lot AS MATERIALIZED (
    SELECT task_id, text, row_number() OVER (PARTITION BY task_id ORDER BY number) - 1 AS place,
           count(*) OVER (PARTITION BY task_id) AS n
    FROM label
  )
SELECT k.task_id, k.input_id, k.input, ifnull(l.text, k.output) AS output, k.share, k.confidence, k.output_id
FROM kept AS k
LEFT JOIN lot AS l ON k.random_labels AND l.task_id = k.task_id
  AND l.place = k.h * k.h % 2147483579 / 7 % l.n
WHERE NOT k.balanced OR k.place <= k.quota;
CREATE VIEW filter_answer_confidence AS
-- Rejects the answers of inputs whose calibrated share is under min_confidence; at 0, the default, none.
-- rank: 20
SELECT a.input_id AS id,
       printf('confidence %.1f %%, at least %.1f %% wanted', 100 * a.confidence, 100 * s.min_confidence) AS detail
FROM answer AS a
CROSS JOIN filter_setting AS s ON s.task_id = a.task_id
WHERE a.confidence < s.min_confidence;
CREATE VIEW filter_answer_disagreement AS
-- Rejects the answers of inputs that are not the label which was asked for; inputs that nobody asked a label for pass.
-- It lists nothing where too few pairs of the rarest label would be left (see agreement, fallback).
SELECT a.id AS id, 'asked for ' || a.asked || ', answered ' || a.answer AS detail
FROM answer_check AS a
CROSS JOIN agreement AS g ON g.task_id = a.task_id
WHERE a.asked <> a.answer AND g.enabled AND NOT g.fallback;
CREATE VIEW filter_answer_share AS
-- Rejects the answers of inputs whose winner has too small a share of the votes (calibrated where calibration is on):
-- where consistency_filter is on, less than min_share.
-- rank: 10
SELECT a.input_id AS id, printf('share %.1f %%, at least %.1f %% wanted', 100 * a.confidence, 100 * s.min_share) AS detail
FROM answer AS a
CROSS JOIN filter_setting AS s ON s.task_id = a.task_id
WHERE s.consistency_filter AND a.confidence < s.min_share;
CREATE VIEW filter_input_duplicate AS
-- Rejects inputs that repeat an earlier one (by round and prompt) which passes all other filters: the same after folding
-- case and white space; or, where near_duplicate_threshold is set, at least that similar by the Jaccard index of their
-- character shingles. The similarities are worked out when a text comes in and kept in `near_twin`, from 0.5 on.
WITH
  survivor AS MATERIALIZED (
    SELECT c.id, i.task_id, i.folded, ifnull(i.round, -1) AS round, ifnull(i.prompt, -1) AS prompt
    FROM input_check AS c
    CROSS JOIN input AS i ON i.id = c.id
    WHERE c.reason IS NULL
  ),
  twin AS MATERIALIZED (
    SELECT id, task_id, round, prompt,
           first_value(id) OVER (PARTITION BY task_id, folded ORDER BY round, prompt, id) AS twin_id
    FROM survivor
  ),
  likeness(id, twin_id, similarity) AS (
    SELECT input_id, twin_id, similarity FROM near_twin
    UNION ALL
    SELECT twin_id, input_id, similarity FROM near_twin
  ),
  near AS (
    SELECT a.id, max(l.similarity) AS similarity, b.id AS twin_id
    FROM filter_setting AS s
    CROSS JOIN likeness AS l
    CROSS JOIN (SELECT * FROM twin WHERE twin_id = id) AS a ON a.id = l.id AND a.task_id = s.task_id
    CROSS JOIN (SELECT * FROM twin WHERE twin_id = id) AS b ON b.id = l.twin_id
    WHERE s.near_duplicate_threshold IS NOT NULL AND l.similarity >= s.near_duplicate_threshold
      AND (b.round, b.prompt, b.id) < (a.round, a.prompt, a.id)
    GROUP BY a.id
  )
SELECT id, 'same as input ' || twin_id AS detail
FROM twin
WHERE twin_id <> id
UNION ALL
SELECT id, printf('%.0f %% like input %d', 100 * similarity, twin_id)
FROM near;
CREATE VIEW filter_input_echo AS
-- Rejects inputs that repeat a seed example, after folding case and white space: the model has seen it already.
-- rank: 40
SELECT i.id, 'same as seed example ' || min(e.number) AS detail
FROM example AS e
JOIN input AS i ON i.task_id = e.task_id AND i.folded = e.folded
GROUP BY i.id;
CREATE VIEW filter_input_empty AS
-- Rejects inputs without any visible character: there is nothing to learn from them.
-- rank: 10
SELECT id, 'no text' AS detail
FROM input
WHERE folded = '';
CREATE VIEW filter_input_label_named AS
-- Rejects inputs that name a label of the task, as a whole word, which no seed example's input names: what is to be
-- found out must not stand there. Case is ignored. (Each label found is marked, and what stands beside the mark looked
-- at; the pattern's letters are those of scripts that put blanks between words.)
-- rank: 50
WITH
  edge(other) AS (
    SELECT '[^a-z0-9_' || char(192) || '-' || char(3583) || char(3840) || '-' || char(8191) || char(40960) || '-'
           || char(44031) || char(55204) || '-' || char(65023) || ']'
  ),
  word AS (
    SELECT l.task_id, l.number, l.text AS label, l.folded,
           '*' || CASE WHEN substr(l.folded, 1, 1) GLOB e.other THEN '' ELSE e.other END || char(1)
           || CASE WHEN substr(l.folded, -1) GLOB e.other THEN '' ELSE e.other END || '*' AS pattern
    FROM filter_setting AS s
    CROSS JOIN label AS l ON l.task_id = s.task_id
    CROSS JOIN edge AS e
    WHERE s.label_named_filter AND l.folded <> ''
  ),
  sought AS MATERIALIZED (
    SELECT w.*
    FROM word AS w
    WHERE NOT EXISTS (
      SELECT 1 FROM example AS x
      WHERE x.task_id = w.task_id AND instr(x.folded, w.folded) > 0
        AND ' ' || replace(x.folded, w.folded, char(1)) || ' ' GLOB w.pattern
    )
  )
SELECT i.id, 'names the label ' || group_concat(w.label, ', ') AS detail
FROM sought AS w
CROSS JOIN input AS i ON i.task_id = w.task_id
WHERE instr(i.folded, w.folded) > 0 AND ' ' || replace(i.folded, w.folded, char(1)) || ' ' GLOB w.pattern
GROUP BY i.id;
CREATE VIEW filter_input_length AS
-- Rejects inputs that are much shorter or longer than the seed examples' inputs (see length_bound), and with the rule
-- `range` those that were cut before their end: the writer stops where a text is longer than the rule allows.
-- rank: 30
SELECT i.id, CASE WHEN b.rule = 'range' AND i.finish_reason = 'length' AND i.length BETWEEN b.low AND b.high
                  THEN printf('cut after %d tokens', i.completion_tokens)
                  ELSE printf('%d characters, kept between %.1f and %.1f', i.length, b.low, b.high) END AS detail
FROM length_bound AS b
CROSS JOIN input AS i ON i.task_id = b.task_id
WHERE b.part = 'input' AND b.enabled
  AND NOT CASE WHEN b.rule = 'range' THEN i.length BETWEEN b.low AND b.high AND ifnull(i.finish_reason, '') <> 'length'
    WHEN b.spread > 0
    THEN (b.n * i.length - b.total) * (b.n * i.length - b.total) < b.deviations * b.deviations * b.spread
    ELSE abs(i.length - b.mean) < b.slack END;
CREATE VIEW filter_input_noise AS
-- Rejects inputs that contain one of the task's noise terms: a chat assistant's stock phrases, or marks of the prompt.
-- Case is ignored for A to Z. The detail is the term; the first in alphabetical order where there are several.
-- Which text contains which term is kept up to date in `input_noise` by triggers on `input` and `noise_term`.
-- rank: 20
SELECT n.input_id AS id, min(n.term) AS detail
FROM input_noise AS n
CROSS JOIN input AS i ON i.id = n.input_id
CROSS JOIN filter_setting AS s ON s.task_id = i.task_id
WHERE s.noise_filter
GROUP BY n.input_id;
CREATE VIEW filter_output_empty AS
-- Rejects outputs without any visible character: there is nothing to learn from them.
-- rank: 10
SELECT id, 'no text' AS detail
FROM output
WHERE answer_length = 0;
CREATE VIEW filter_output_label AS
-- Rejects outputs of a classification task in which none of its labels occurs.
-- rank: 40
SELECT o.id, 'none of the labels' AS detail
FROM task AS t
CROSS JOIN input AS i ON i.task_id = t.id
CROSS JOIN output AS o ON o.input_id = i.id
WHERE t.kind = 'classification' AND o.label IS NULL AND o.answer_length > 0;
CREATE VIEW filter_output_length AS
-- Rejects outputs that are much shorter or longer than the seed examples' outputs (see length_bound).
-- rank: 30
SELECT o.id, printf('%d characters, kept between %.1f and %.1f', o.length, b.low, b.high) AS detail
FROM length_bound AS b
CROSS JOIN input AS i ON i.task_id = b.task_id
CROSS JOIN output AS o ON o.input_id = i.id
WHERE b.part = 'output' AND b.enabled
  AND NOT CASE WHEN b.rule = 'range' THEN o.length BETWEEN b.low AND b.high
    WHEN b.spread > 0
    THEN (b.n * o.length - b.total) * (b.n * o.length - b.total) < b.deviations * b.deviations * b.spread
    ELSE abs(o.length - b.mean) < b.slack END;
CREATE VIEW filter_output_noise AS
-- Rejects outputs that contain one of the task's noise terms: a chat assistant's stock phrases, or marks of the prompt.
-- Case is ignored for A to Z. The detail is the term; the first in alphabetical order where there are several.
-- Which text contains which term is kept up to date in `output_noise` by triggers on `output` and `noise_term`.
-- (CROSS JOIN, here and elsewhere, keeps SQLite to this order of loops: few rows first.)
-- rank: 20
SELECT n.output_id AS id, min(n.term) AS detail
FROM output_noise AS n
CROSS JOIN output AS o ON o.id = n.output_id
CROSS JOIN input AS i ON i.id = o.input_id
CROSS JOIN filter_setting AS s ON s.task_id = i.task_id
WHERE s.noise_filter
GROUP BY n.output_id;
CREATE VIEW filter_setting AS
-- The filters' settings in force: one row a task, a column each; a row missing from `setting` means the default.
-- Two defaults depend on how a run answers and are rows from its beginning: without a row, near_duplicate_threshold and
-- calibrate are off. `share_over_survivors` is for files of format 1, whose shares left rejected samples out.
SELECT
  t.id AS task_id,
  t.kind AS kind,
  ifnull(max(CASE WHEN s.key = 'noise_filter' THEN s.value IN (1, 'true', 'on', 'yes') END), 1) AS noise_filter,
  ifnull(max(CASE WHEN s.key = 'input_length_filter' THEN s.value IN (1, 'true', 'on', 'yes') END), 1)
    AS input_length_filter,
  ifnull(max(CASE WHEN s.key = 'output_length_filter' THEN s.value IN (1, 'true', 'on', 'yes') END),
         t.kind = 'generation') AS output_length_filter,
  ifnull(max(CASE WHEN s.key = 'length_rule' THEN s.value END), 'range') AS length_rule,
  ifnull(max(CASE WHEN s.key = 'length_factor' THEN s.value END), 3.0) AS length_factor,
  ifnull(max(CASE WHEN s.key = 'length_deviations' THEN s.value END), 2.0) AS length_deviations,
  ifnull(max(CASE WHEN s.key = 'length_slack_share' THEN s.value END), 0.25) AS length_slack_share,
  ifnull(max(CASE WHEN s.key = 'length_slack_min' THEN s.value END), 10) AS length_slack_min,
  max(CASE WHEN s.key = 'near_duplicate_threshold' THEN s.value END) AS near_duplicate_threshold,
  ifnull(max(CASE WHEN s.key = 'label_named_filter' THEN s.value IN (1, 'true', 'on', 'yes') END),
         t.kind = 'classification') AS label_named_filter,
  ifnull(max(CASE WHEN s.key = 'consistency_filter' THEN s.value IN (1, 'true', 'on', 'yes') END), 1)
    AS consistency_filter,
  ifnull(max(CASE WHEN s.key = 'min_share' THEN s.value END), 0.3) AS min_share,
  ifnull(max(CASE WHEN s.key = 'calibrate' THEN s.value IN (1, 'true', 'on', 'yes') END), 0) AS calibrate,
  ifnull(max(CASE WHEN s.key = 'calibrate_min_inputs' THEN s.value END), 20) AS calibrate_min_inputs,
  ifnull(max(CASE WHEN s.key = 'agreement_filter' THEN s.value IN (1, 'true', 'on', 'yes') END),
         t.kind = 'classification') AS agreement_filter,
  ifnull(max(CASE WHEN s.key = 'agreement_min_pairs' THEN s.value END), 10) AS agreement_min_pairs,
  ifnull(max(CASE WHEN s.key = 'min_confidence' THEN s.value END), 0.0) AS min_confidence,
  ifnull(max(CASE WHEN s.key = 'balance' THEN s.value IN (1, 'true', 'on', 'yes') END), t.kind = 'classification')
    AS balance,
  ifnull(max(CASE WHEN s.key = 'random_labels' THEN s.value IN (1, 'true', 'on', 'yes') END), 0) AS random_labels,
  ifnull(max(CASE WHEN s.key = 'dataset_seed' THEN s.value END), 0) AS dataset_seed,
  ifnull(max(CASE WHEN s.key = 'share_over_survivors' THEN s.value IN (1, 'true', 'on', 'yes') END), 0)
    AS share_over_survivors
FROM task AS t
LEFT JOIN setting AS s ON s.task_id = t.id
GROUP BY t.id;
CREATE VIEW input_verdict AS
-- Every input with the first reason for which it is rejected and the detail, or none where it stays in the pool.
WITH checked AS MATERIALIZED (SELECT * FROM input_check)
SELECT c.id, c.task_id, CASE WHEN d.id IS NULL THEN c.reason ELSE 'duplicate' END AS reason,
       ifnull(d.detail, c.detail) AS detail
FROM checked AS c
LEFT JOIN (WITH
  survivor AS MATERIALIZED (
    SELECT c.id, i.task_id, i.folded, ifnull(i.round, -1) AS round, ifnull(i.prompt, -1) AS prompt
    FROM checked AS c
    CROSS JOIN input AS i ON i.id = c.id
    WHERE c.reason IS NULL
  ),
  twin AS MATERIALIZED (
    SELECT id, task_id, round, prompt,
           first_value(id) OVER (PARTITION BY task_id, folded ORDER BY round, prompt, id) AS twin_id
    FROM survivor
  ),
  likeness(id, twin_id, similarity) AS (
    SELECT input_id, twin_id, similarity FROM near_twin
    UNION ALL
    SELECT twin_id, input_id, similarity FROM near_twin
  ),
  near AS (
    SELECT a.id, max(l.similarity) AS similarity, b.id AS twin_id
    FROM filter_setting AS s
    CROSS JOIN likeness AS l
    CROSS JOIN (SELECT * FROM twin WHERE twin_id = id) AS a ON a.id = l.id AND a.task_id = s.task_id
    CROSS JOIN (SELECT * FROM twin WHERE twin_id = id) AS b ON b.id = l.twin_id
    WHERE s.near_duplicate_threshold IS NOT NULL AND l.similarity >= s.near_duplicate_threshold
      AND (b.round, b.prompt, b.id) < (a.round, a.prompt, a.id)
    GROUP BY a.id
  )
SELECT id, 'same as input ' || twin_id AS detail
FROM twin
WHERE twin_id <> id
UNION ALL
SELECT id, printf('%.0f %% like input %d', 100 * similarity, twin_id)
FROM near) AS d ON d.id = c.id;
CREATE VIEW label_prior AS
-- How much a model leans to each label: the label's mean share over the kept inputs that have a valid answer, before any
-- filter of answers. `n` is the number of those inputs. Classification only.
WITH
  total AS (
    SELECT v.task_id, v.answer, sum(v.share) AS share, sum(v.place = 1) AS first
    FROM vote AS v
    WHERE v.task_id IN (SELECT task_id FROM label)
      AND v.input_id IN (SELECT id FROM input_verdict WHERE reason IS NULL)
    GROUP BY v.task_id, v.answer
  ),
  leaning AS (
    SELECT l.task_id, l.text AS label, ifnull(t.share, 0.0) AS share, sum(t.first) OVER (PARTITION BY l.task_id) AS n
    FROM label AS l
    LEFT JOIN total AS t ON t.task_id = l.task_id AND t.answer = l.text
  )
SELECT task_id, label, share / n AS mean, n
FROM leaning
WHERE n > 0;
CREATE VIEW length_bound AS
-- The length interval in force, per task and part (input, output), from the seed examples' lengths in characters.
-- By length_rule. `range`: kept from a length_factor-th of the shortest to length_factor times the longest, both ends
-- included. `deviations`: kept when low < length < high: mean +- length_deviations population standard deviations;
-- where all examples are equally long, mean +- a slack of length_slack_share of the mean, at least length_slack_min.
-- `spread` is n^2 times the variance in whole numbers, so that filters can decide exactly and without a square root;
-- the deviation shown is its root by Newton's method, because not every SQLite has sqrt().
WITH RECURSIVE
  part(task_id, part, length) AS (
    SELECT task_id, 'input', length(input) FROM example
    UNION ALL
    SELECT task_id, 'output', length(output) FROM example
  ),
  moment AS (
    SELECT task_id, part, count(*) AS n, sum(length) AS total, min(length) AS shortest, max(length) AS longest,
           count(*) * sum(length * length) - sum(length) * sum(length) AS spread
    FROM part
    GROUP BY task_id, part
  ),
  newton(task_id, part, spread, root, turn) AS (
    SELECT task_id, part, spread, 1.0 + spread / 2.0, 0 FROM moment WHERE spread > 0
    UNION ALL
    SELECT task_id, part, spread, (root + spread / root) / 2, turn + 1 FROM newton WHERE turn < 60
  ),
  bound AS (
    SELECT m.*,
           1.0 * m.total / m.n AS mean,
           ifnull(w.root / m.n, 0.0) AS deviation,
           s.length_rule AS rule,
           s.length_factor AS factor,
           s.length_deviations AS deviations,
           max(s.length_slack_min, s.length_slack_share * m.total / m.n) AS slack,
           CASE m.part WHEN 'input' THEN s.input_length_filter ELSE s.output_length_filter END AS enabled
    FROM moment AS m
    JOIN filter_setting AS s ON s.task_id = m.task_id
    LEFT JOIN newton AS w ON w.task_id = m.task_id AND w.part = m.part AND w.turn = 60
  )
SELECT task_id, part, n, mean, deviation,
       CASE WHEN rule = 'range' THEN 1.0 * shortest / factor
            WHEN spread > 0 THEN mean - deviations * deviation ELSE mean - slack END AS low,
       CASE WHEN rule = 'range' THEN 1.0 * longest * factor
            WHEN spread > 0 THEN mean + deviations * deviation ELSE mean + slack END AS high,
       enabled, rule, total, spread, deviations, slack, shortest, longest, factor
FROM bound;
CREATE VIEW output_verdict AS
-- Every output with the first reason for which it is rejected and the detail, or none where it counts as a vote.
SELECT o.id, o.input_id, r.reason, r.detail
FROM output AS o
LEFT JOIN output_rejected AS r ON r.id = o.id;
CREATE VIEW pair AS
-- Each kept input with its answer where no filter rejects it, before balancing. `place` orders a label's pairs by
-- a hash of dataset_seed and the input's place (round and prompt, else its id), so that balancing draws from all rounds
-- and always draws the same; `alike` is the number of pairs that have the label.
WITH
  hashed AS (
    SELECT a.task_id, a.id AS input_id, i.text AS input, a.answer AS output, a.share, a.confidence, a.output_id, s.kind,
           s.balance, s.random_labels, s.dataset_seed,
           (ifnull(i.round * 1000003 + i.prompt, i.id) % 2147483579 * 48271 + s.dataset_seed * 69621 + 12345)
             % 2147483579 AS h
    FROM answer_verdict AS a
    JOIN input AS i ON i.id = a.id
    JOIN filter_setting AS s ON s.task_id = a.task_id
    WHERE a.reason IS NULL
  )
SELECT task_id, input_id, input, output, share, confidence, output_id, random_labels, h,
       balance AND kind = 'classification' AS balanced,
       row_number() OVER w AS place, count(*) OVER w AS alike
FROM hashed
WINDOW w AS (
  PARTITION BY task_id, CASE kind WHEN 'classification' THEN output END
  ORDER BY h * h % 2147483579 * h % 2147483579, input_id
  ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
);
CREATE VIEW provenance AS
-- What made each pair: join it to `dataset` on input_id. The input's run and the answer's run: prompt template,
-- settings, seed, model, program version, time.
SELECT i.id AS input_id, o.id AS output_id,
       i.round, i.prompt, i.label AS label_asked_for, i.good, i.flawed, i.created_at AS input_created_at,
       ri.id AS input_run_id, ri.template_sha256 AS input_template_sha256, ri.settings AS input_settings,
       ri.seed AS input_seed, mi.name AS input_model, mi.sha256 AS input_model_sha256,
       ri.program_version AS input_program_version,
       o.method, o.sample, o.created_at AS output_created_at,
       ro.id AS output_run_id, ro.template_sha256 AS output_template_sha256, ro.settings AS output_settings,
       ro.seed AS output_seed, mo.name AS output_model, mo.sha256 AS output_model_sha256,
       ro.program_version AS output_program_version
FROM answer AS a
JOIN input AS i ON i.id = a.input_id
JOIN output AS o ON o.id = a.output_id
LEFT JOIN run AS ri ON ri.id = i.run_id
LEFT JOIN model AS mi ON mi.id = ri.model_id
LEFT JOIN run AS ro ON ro.id = o.run_id
LEFT JOIN model AS mo ON mo.id = ro.model_id;
CREATE VIEW vote AS
-- Every distinct answer to an input with its share of the votes of all outputs that were made for the input, rejected
-- ones too; place 1 is the answer that won: the largest share, the shortest of those tied, the earliest of those equally
-- short. For classification the answer is the label found in the text. With consistency_filter off the samples do not
-- vote: the first (for scores the likeliest) one is the answer.
WITH
  tally AS (
    SELECT o.input_id, o.answer_id, sum(o.weight) AS drawn,
           min(CASE WHEN r.id IS NULL THEN o.id END) AS output_id,
           count(*) - count(r.id) AS n,
           sum(CASE WHEN r.id IS NULL THEN o.weight ELSE 0.0 END) AS weight,
           max(CASE WHEN r.id IS NULL THEN o.weight ELSE -1.0 END) AS heaviest,
           min(CASE WHEN r.id IS NULL THEN o.answer_length END) AS length
    FROM output AS o
    LEFT JOIN output_rejected AS r ON r.id = o.id
    GROUP BY o.input_id, o.answer_id
  ),
  placed AS (
    SELECT i.task_id, t.input_id, t.output_id, t.n, t.weight,
           t.weight / sum(CASE WHEN s.share_over_survivors THEN t.weight ELSE t.drawn END) OVER w AS share,
           row_number() OVER w AS place
    FROM tally AS t
    JOIN input AS i ON i.id = t.input_id
    JOIN filter_setting AS s ON s.task_id = i.task_id
    WINDOW w AS (
      PARTITION BY t.input_id
      ORDER BY t.n > 0 DESC,
               CASE WHEN s.consistency_filter THEN t.weight ELSE t.heaviest END DESC,
               CASE WHEN s.consistency_filter THEN t.length ELSE 0 END, t.output_id
      ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
    )
  )
SELECT p.task_id, p.input_id, ifnull(o.label, o.text) AS answer, p.output_id, p.n, p.weight,
       ifnull(p.share, 0.0) AS share, p.place
FROM placed AS p
JOIN output AS o ON o.id = p.output_id
WHERE p.n > 0;
CREATE VIEW filter_input_crowded AS select id, 'many' as detail from input where json_array_length(flawed) > 1 and text like 'Somebody%' -- more than one flawed
;
CREATE VIEW shown AS SELECT input_id, good, "flawed" FROM provenance;
CREATE VIEW filter_output_first_pool AS select o.id, 'shown' as detail from output o join input i on i.id = o.input_id where i.good = 'good';
CREATE VIEW shown_more AS SELECT s.input_id, s.flawed AS f, s.good FROM shown AS s WHERE s.flawed <> 'flawed';
CREATE VIEW filter_answer_narrow AS select a.input_id as id, 'narrow' as detail from answer a join filter_setting s using (task_id) where a.confidence < s.min_share;
CREATE VIEW filter_answer_asked AS select a.input_id as id, 'min_share' as detail from answer a where a.confidence < (select value from setting where key = 'min_share') / 2;
CREATE VIEW answer_check AS
-- Every kept input that has an answer, with the first reason for which a filter of answers rejects it, or none; whether
-- the answer is the label that was asked for is not yet looked at.
WITH
  screened AS MATERIALIZED (SELECT id, reason FROM input_verdict),
  settled AS (
    SELECT *
    FROM (WITH
  calibrated AS MATERIALIZED (
    SELECT task_id, calibrate_min_inputs FROM filter_setting WHERE calibrate AND kind = 'classification'
  ),
  counted AS MATERIALIZED (
    SELECT * FROM vote WHERE place = 1 OR task_id IN (SELECT task_id FROM calibrated)
  ),
  prior AS MATERIALIZED (
    SELECT p.task_id, p.label, nullif(p.mean, 0) AS mean, ifnull(l.share, 1.0) AS wanted
    FROM (WITH
  total AS (
    SELECT v.task_id, v.answer, sum(v.share) AS share, sum(v.place = 1) AS first
    FROM counted AS v
    WHERE v.task_id IN (SELECT task_id FROM label)
      AND v.input_id IN (SELECT id FROM screened WHERE reason IS NULL)
    GROUP BY v.task_id, v.answer
  ),
  leaning AS (
    SELECT l.task_id, l.text AS label, ifnull(t.share, 0.0) AS share, sum(t.first) OVER (PARTITION BY l.task_id) AS n
    FROM label AS l
    LEFT JOIN total AS t ON t.task_id = l.task_id AND t.answer = l.text
  )
SELECT task_id, label, share / n AS mean, n
FROM leaning
WHERE n > 0) AS p
    JOIN calibrated AS c ON c.task_id = p.task_id
    JOIN label AS l ON l.task_id = p.task_id AND l.text = p.label
    WHERE p.n >= c.calibrate_min_inputs
  ),
  weighed AS (
    SELECT c.*, p.label IS NOT NULL AS calibrated, ifnull(c.share / p.mean * p.wanted, 0.0) AS lean
    FROM counted AS c
    LEFT JOIN prior AS p ON p.task_id = c.task_id AND p.label = c.answer
  ),
  placed AS (
    SELECT w.*, sum(w.lean) OVER o AS leans, row_number() OVER o AS rank
    FROM weighed AS w
    WINDOW o AS (
      PARTITION BY w.input_id ORDER BY w.lean DESC, w.place ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
    )
  )
SELECT task_id, input_id, answer, share, CASE WHEN leans > 0 THEN lean / leans ELSE share END AS confidence, n,
       output_id, calibrated
FROM placed
WHERE rank = 1)
    WHERE input_id IN (SELECT id FROM screened WHERE reason IS NULL)
  ),
  rejected(id, rank, reason, detail) AS (
    SELECT id, 1002, 'asked', detail FROM "filter_answer_asked"
    UNION ALL SELECT id, 1003, 'narrow', detail FROM "filter_answer_narrow"
  ),
  first AS (
    SELECT id, reason, detail, min(rank) AS rank FROM rejected WHERE id IS NOT NULL GROUP BY id
  )
SELECT a.input_id AS id, a.task_id, ifnull(CASE WHEN s.consistency_filter AND a.confidence < s.min_share THEN 'share' WHEN a.confidence < s.min_confidence THEN 'confidence' END, f.reason) AS reason,
       ifnull(CASE WHEN s.consistency_filter AND a.confidence < s.min_share THEN printf('share %.1f %%, at least %.1f %% wanted', 100 * a.confidence, 100 * s.min_share) WHEN a.confidence < s.min_confidence THEN printf('confidence %.1f %%, at least %.1f %% wanted', 100 * a.confidence, 100 * s.min_confidence) END, f.detail) AS detail,
       i.label AS asked, a.answer, a.share, a.confidence, a.n, a.output_id, a.calibrated
FROM settled AS a
CROSS JOIN input AS i ON i.id = a.input_id
CROSS JOIN filter_setting AS s ON s.task_id = a.task_id
LEFT JOIN first AS f ON f.id = a.input_id;
CREATE VIEW answer_verdict AS
-- Every kept input that has an answer, with the first reason for which the answer is rejected and the detail, or none
-- where the two are a pair.
WITH
  checked AS MATERIALIZED (WITH
  screened AS MATERIALIZED (SELECT id, reason FROM input_verdict),
  settled AS (
    SELECT *
    FROM (WITH
  calibrated AS MATERIALIZED (
    SELECT task_id, calibrate_min_inputs FROM filter_setting WHERE calibrate AND kind = 'classification'
  ),
  counted AS MATERIALIZED (
    SELECT * FROM vote WHERE place = 1 OR task_id IN (SELECT task_id FROM calibrated)
  ),
  prior AS MATERIALIZED (
    SELECT p.task_id, p.label, nullif(p.mean, 0) AS mean, ifnull(l.share, 1.0) AS wanted
    FROM (WITH
  total AS (
    SELECT v.task_id, v.answer, sum(v.share) AS share, sum(v.place = 1) AS first
    FROM counted AS v
    WHERE v.task_id IN (SELECT task_id FROM label)
      AND v.input_id IN (SELECT id FROM screened WHERE reason IS NULL)
    GROUP BY v.task_id, v.answer
  ),
  leaning AS (
    SELECT l.task_id, l.text AS label, ifnull(t.share, 0.0) AS share, sum(t.first) OVER (PARTITION BY l.task_id) AS n
    FROM label AS l
    LEFT JOIN total AS t ON t.task_id = l.task_id AND t.answer = l.text
  )
SELECT task_id, label, share / n AS mean, n
FROM leaning
WHERE n > 0) AS p
    JOIN calibrated AS c ON c.task_id = p.task_id
    JOIN label AS l ON l.task_id = p.task_id AND l.text = p.label
    WHERE p.n >= c.calibrate_min_inputs
  ),
  weighed AS (
    SELECT c.*, p.label IS NOT NULL AS calibrated, ifnull(c.share / p.mean * p.wanted, 0.0) AS lean
    FROM counted AS c
    LEFT JOIN prior AS p ON p.task_id = c.task_id AND p.label = c.answer
  ),
  placed AS (
    SELECT w.*, sum(w.lean) OVER o AS leans, row_number() OVER o AS rank
    FROM weighed AS w
    WINDOW o AS (
      PARTITION BY w.input_id ORDER BY w.lean DESC, w.place ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
    )
  )
SELECT task_id, input_id, answer, share, CASE WHEN leans > 0 THEN lean / leans ELSE share END AS confidence, n,
       output_id, calibrated
FROM placed
WHERE rank = 1)
    WHERE input_id IN (SELECT id FROM screened WHERE reason IS NULL)
  ),
  rejected(id, rank, reason, detail) AS (
    SELECT id, 1002, 'asked', detail FROM "filter_answer_asked"
    UNION ALL SELECT id, 1003, 'narrow', detail FROM "filter_answer_narrow"
  ),
  first AS (
    SELECT id, reason, detail, min(rank) AS rank FROM rejected WHERE id IS NOT NULL GROUP BY id
  )
SELECT a.input_id AS id, a.task_id, ifnull(CASE WHEN s.consistency_filter AND a.confidence < s.min_share THEN 'share' WHEN a.confidence < s.min_confidence THEN 'confidence' END, f.reason) AS reason,
       ifnull(CASE WHEN s.consistency_filter AND a.confidence < s.min_share THEN printf('share %.1f %%, at least %.1f %% wanted', 100 * a.confidence, 100 * s.min_share) WHEN a.confidence < s.min_confidence THEN printf('confidence %.1f %%, at least %.1f %% wanted', 100 * a.confidence, 100 * s.min_confidence) END, f.detail) AS detail,
       i.label AS asked, a.answer, a.share, a.confidence, a.n, a.output_id, a.calibrated
FROM settled AS a
CROSS JOIN input AS i ON i.id = a.input_id
CROSS JOIN filter_setting AS s ON s.task_id = a.task_id
LEFT JOIN first AS f ON f.id = a.input_id),
  agreed AS MATERIALIZED (WITH
  tally AS MATERIALIZED (
    SELECT task_id, asked, answer, count(*) AS n FROM checked WHERE reason IS NULL GROUP BY task_id, asked, answer
  ),
  label_tally AS (
    SELECT l.task_id,
           ifnull(sum(CASE WHEN t.asked = l.text THEN t.n END), 0) AS asked,
           ifnull(sum(CASE WHEN t.asked IS NOT NULL AND t.answer = l.text THEN t.n END), 0) AS answered,
           ifnull(sum(CASE WHEN t.asked = l.text AND t.answer = l.text THEN t.n END), 0) AS agreeing,
           ifnull(sum(CASE WHEN t.answer = l.text AND ifnull(t.asked, l.text) = l.text THEN t.n END), 0) AS kept
    FROM label AS l
    JOIN tally AS t ON t.task_id = l.task_id
    GROUP BY l.task_id, l.number
  ),
  found AS (
    SELECT task_id, sum(answered) AS asked, sum(agreeing) AS agreeing, min(kept) AS rarest,
           ifnull(sum(1.0 * asked * answered) / sum(answered) / sum(answered), 0.0) AS expected
    FROM label_tally
    GROUP BY task_id
  )
SELECT f.task_id, f.asked, f.agreeing, f.expected, f.rarest, s.agreement_filter AS enabled,
       s.agreement_filter AND f.agreeing < f.asked AND f.rarest < s.agreement_min_pairs AS fallback
FROM found AS f
JOIN filter_setting AS s ON s.task_id = f.task_id)
SELECT a.id, a.task_id, ifnull(a.reason, CASE WHEN a.asked <> a.answer AND g.enabled AND NOT g.fallback THEN 'disagreement' END) AS reason,
       CASE WHEN a.reason IS NULL THEN CASE WHEN a.asked <> a.answer AND g.enabled AND NOT g.fallback THEN 'asked for ' || a.asked || ', answered ' || a.answer END ELSE a.detail END AS detail,
       a.asked, a.answer, a.share, a.confidence, a.n, a.output_id, a.calibrated
FROM checked AS a
LEFT JOIN agreed AS g ON g.task_id = a.task_id;
CREATE VIEW funnel AS
-- Counts by stage and reason, from prompts sent to pairs kept; `kept` is what goes on to the next stage.
-- input: prompts that were answered; output: samples of the kept inputs; answer: kept inputs; dataset: answered inputs.
WITH
  pool AS MATERIALIZED (SELECT id, task_id, reason FROM input_verdict),
  kept AS MATERIALIZED (SELECT id FROM pool WHERE reason IS NULL),
  rejected AS MATERIALIZED (
    SELECT o.input_id, r.reason, count(*) AS n
    FROM output_rejected AS r
    CROSS JOIN output AS o ON o.id = r.id
    GROUP BY o.input_id, r.reason
  ),
  sampled AS MATERIALIZED (
    SELECT o.input_id, count(*) AS n FROM output AS o GROUP BY o.input_id
  ),
  passed AS (
    SELECT input_id, sum(n) AS n
    FROM (SELECT input_id, n FROM sampled UNION ALL SELECT input_id, -n FROM rejected)
    GROUP BY input_id
  ),
  judged AS MATERIALIZED (
    SELECT a.task_id, a.id, a.reason,
           CASE WHEN s.balance AND s.kind = 'classification' THEN a.answer END AS label
    FROM (WITH
  checked AS MATERIALIZED (WITH
  screened AS MATERIALIZED (SELECT id, reason FROM pool),
  settled AS (
    SELECT *
    FROM (WITH
  calibrated AS MATERIALIZED (
    SELECT task_id, calibrate_min_inputs FROM filter_setting WHERE calibrate AND kind = 'classification'
  ),
  counted AS MATERIALIZED (
    SELECT * FROM vote WHERE place = 1 OR task_id IN (SELECT task_id FROM calibrated)
  ),
  prior AS MATERIALIZED (
    SELECT p.task_id, p.label, nullif(p.mean, 0) AS mean, ifnull(l.share, 1.0) AS wanted
    FROM (WITH
  total AS (
    SELECT v.task_id, v.answer, sum(v.share) AS share, sum(v.place = 1) AS first
    FROM counted AS v
    WHERE v.task_id IN (SELECT task_id FROM label)
      AND v.input_id IN (SELECT id FROM screened WHERE reason IS NULL)
    GROUP BY v.task_id, v.answer
  ),
  leaning AS (
    SELECT l.task_id, l.text AS label, ifnull(t.share, 0.0) AS share, sum(t.first) OVER (PARTITION BY l.task_id) AS n
    FROM label AS l
    LEFT JOIN total AS t ON t.task_id = l.task_id AND t.answer = l.text
  )
SELECT task_id, label, share / n AS mean, n
FROM leaning
WHERE n > 0) AS p
    JOIN calibrated AS c ON c.task_id = p.task_id
    JOIN label AS l ON l.task_id = p.task_id AND l.text = p.label
    WHERE p.n >= c.calibrate_min_inputs
  ),
  weighed AS (
    SELECT c.*, p.label IS NOT NULL AS calibrated, ifnull(c.share / p.mean * p.wanted, 0.0) AS lean
    FROM counted AS c
    LEFT JOIN prior AS p ON p.task_id = c.task_id AND p.label = c.answer
  ),
  placed AS (
    SELECT w.*, sum(w.lean) OVER o AS leans, row_number() OVER o AS rank
    FROM weighed AS w
    WINDOW o AS (
      PARTITION BY w.input_id ORDER BY w.lean DESC, w.place ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
    )
  )
SELECT task_id, input_id, answer, share, CASE WHEN leans > 0 THEN lean / leans ELSE share END AS confidence, n,
       output_id, calibrated
FROM placed
WHERE rank = 1)
    WHERE input_id IN (SELECT id FROM screened WHERE reason IS NULL)
  ),
  rejected(id, rank, reason, detail) AS (
    SELECT id, 1002, 'asked', detail FROM "filter_answer_asked"
    UNION ALL SELECT id, 1003, 'narrow', detail FROM "filter_answer_narrow"
  ),
  first AS (
    SELECT id, reason, detail, min(rank) AS rank FROM rejected WHERE id IS NOT NULL GROUP BY id
  )
SELECT a.input_id AS id, a.task_id, ifnull(CASE WHEN s.consistency_filter AND a.confidence < s.min_share THEN 'share' WHEN a.confidence < s.min_confidence THEN 'confidence' END, f.reason) AS reason,
       ifnull(CASE WHEN s.consistency_filter AND a.confidence < s.min_share THEN printf('share %.1f %%, at least %.1f %% wanted', 100 * a.confidence, 100 * s.min_share) WHEN a.confidence < s.min_confidence THEN printf('confidence %.1f %%, at least %.1f %% wanted', 100 * a.confidence, 100 * s.min_confidence) END, f.detail) AS detail,
       i.label AS asked, a.answer, a.share, a.confidence, a.n, a.output_id, a.calibrated
FROM settled AS a
CROSS JOIN input AS i ON i.id = a.input_id
CROSS JOIN filter_setting AS s ON s.task_id = a.task_id
LEFT JOIN first AS f ON f.id = a.input_id),
  agreed AS MATERIALIZED (WITH
  tally AS MATERIALIZED (
    SELECT task_id, asked, answer, count(*) AS n FROM checked WHERE reason IS NULL GROUP BY task_id, asked, answer
  ),
  label_tally AS (
    SELECT l.task_id,
           ifnull(sum(CASE WHEN t.asked = l.text THEN t.n END), 0) AS asked,
           ifnull(sum(CASE WHEN t.asked IS NOT NULL AND t.answer = l.text THEN t.n END), 0) AS answered,
           ifnull(sum(CASE WHEN t.asked = l.text AND t.answer = l.text THEN t.n END), 0) AS agreeing,
           ifnull(sum(CASE WHEN t.answer = l.text AND ifnull(t.asked, l.text) = l.text THEN t.n END), 0) AS kept
    FROM label AS l
    JOIN tally AS t ON t.task_id = l.task_id
    GROUP BY l.task_id, l.number
  ),
  found AS (
    SELECT task_id, sum(answered) AS asked, sum(agreeing) AS agreeing, min(kept) AS rarest,
           ifnull(sum(1.0 * asked * answered) / sum(answered) / sum(answered), 0.0) AS expected
    FROM label_tally
    GROUP BY task_id
  )
SELECT f.task_id, f.asked, f.agreeing, f.expected, f.rarest, s.agreement_filter AS enabled,
       s.agreement_filter AND f.agreeing < f.asked AND f.rarest < s.agreement_min_pairs AS fallback
FROM found AS f
JOIN filter_setting AS s ON s.task_id = f.task_id)
SELECT a.id, a.task_id, ifnull(a.reason, CASE WHEN a.asked <> a.answer AND g.enabled AND NOT g.fallback THEN 'disagreement' END) AS reason,
       CASE WHEN a.reason IS NULL THEN CASE WHEN a.asked <> a.answer AND g.enabled AND NOT g.fallback THEN 'asked for ' || a.asked || ', answered ' || a.answer END ELSE a.detail END AS detail,
       a.asked, a.answer, a.share, a.confidence, a.n, a.output_id, a.calibrated
FROM checked AS a
LEFT JOIN agreed AS g ON g.task_id = a.task_id) AS a
    JOIN filter_setting AS s ON s.task_id = a.task_id
  ),
  reached(task_id, input_id, how, reason, label) AS (
    SELECT task_id, id, 0, 'unanswered', NULL FROM pool WHERE reason IS NULL
    UNION ALL SELECT NULL, input_id, 1, 'no valid answer', NULL FROM sampled
    UNION ALL SELECT task_id, id, 2, ifnull(reason, 'kept'), label FROM judged
  ),
  fate AS (
    SELECT max(task_id) AS task_id, substr(max(how || reason), 2) AS reason, max(label) AS label
    FROM reached
    GROUP BY input_id
    HAVING max(task_id) IS NOT NULL
  ),
  told AS (
    SELECT task_id, reason, label, count(*) AS n,
           min(CASE WHEN reason = 'kept' THEN count(*) END) OVER (PARTITION BY task_id) AS quota
    FROM fate
    GROUP BY task_id, reason, label
  ),
  step(stage, what) AS (VALUES ('answer', NULL), ('dataset', 'balance'), ('dataset', 'kept'))
SELECT task_id, 'input' AS stage, ifnull(reason, 'kept') AS reason, count(*) AS n FROM pool GROUP BY 1, 3
UNION ALL
SELECT i.task_id, 'output', c.reason, sum(c.n)
FROM (
  SELECT input_id, 'kept' AS reason, n FROM passed WHERE n > 0
  UNION ALL SELECT input_id, reason, n FROM rejected
) AS c
JOIN input AS i ON i.id = c.input_id
WHERE c.input_id IN (SELECT id FROM kept)
GROUP BY 1, 3
UNION ALL
SELECT t.task_id, s.stage, ifnull(s.what, t.reason),
       sum(CASE s.what WHEN 'balance' THEN t.n - t.quota WHEN 'kept' THEN t.quota ELSE t.n END) AS n
FROM told AS t
CROSS JOIN step AS s
WHERE s.stage = 'answer' OR t.reason = 'kept' AND NOT (s.what = 'balance' AND t.n = t.quota)
GROUP BY 1, 2, 3;
CREATE VIEW input_check AS
-- Every input with the first reason for which a filter rejects it, or none; duplicates not yet looked at.
WITH
  rejected(id, rank, reason, detail) AS (
    SELECT id, 10, 'empty', detail FROM filter_input_empty
    UNION ALL SELECT id, 20, 'noise', detail FROM filter_input_noise
    UNION ALL SELECT id, 30, 'length', detail FROM filter_input_length
    UNION ALL SELECT id, 40, 'echo', detail FROM filter_input_echo
    UNION ALL SELECT id, 50, 'label_named', detail FROM filter_input_label_named
    UNION ALL SELECT id, 1000, 'crowded', detail FROM "filter_input_crowded"
  ),
  first AS (
    SELECT id, reason, detail, min(rank) AS rank FROM rejected WHERE id IS NOT NULL GROUP BY id
  )
SELECT i.id, i.task_id, f.reason, f.detail
FROM input AS i
LEFT JOIN first AS f ON f.id = i.id;
CREATE VIEW output_rejected AS
-- Every output that a filter rejects, with the first reason and its detail.
WITH
  rejected(id, rank, reason, detail) AS (
    SELECT id, 10, 'empty', detail FROM filter_output_empty
    UNION ALL SELECT id, 20, 'noise', detail FROM filter_output_noise
    UNION ALL SELECT id, 30, 'length', detail FROM filter_output_length
    UNION ALL SELECT id, 40, 'label', detail FROM filter_output_label
    UNION ALL SELECT id, 1001, 'first_pool', detail FROM "filter_output_first_pool"
  )
SELECT id, reason, detail, min(rank) AS rank
FROM rejected
WHERE id IS NOT NULL
GROUP BY id;
CREATE VIEW patience AS SELECT id, settings ->> 'fruitless_rounds' AS rounds, json_extract(settings, '$.max_length') AS longest FROM run;
CREATE VIEW filter_input_broken AS SELECT id, missing AS detail FROM nowhere;
CREATE TRIGGER audit AFTER UPDATE OF good ON input WHEN NEW.id IN (SELECT id FROM input_verdict WHERE reason = 'x') BEGIN SELECT RAISE(ABORT, 'x'); END;
COMMIT;
PRAGMA application_id = 1397181524;
PRAGMA user_version = 2;
