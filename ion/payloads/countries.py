"""The countries of ISO 3166-1 and Kosovo (XK): two-letter code, three-letter code, and the names payloads give them.

Names are English, after CLDR 47 where it has them
Names the aliases are ISO's own short names, older names and the spellings of
shops. `country_code` compares without case, accents, punctuation and articles.
"""

import re
import unicodedata

_COUNTRIES = """
AD AND Andorra
AE ARE United Arab Emirates
AF AFG Afghanistan
AG ATG Antigua & Barbuda
AI AIA Anguilla
AL ALB Albania
AM ARM Armenia
AO AGO Angola
AQ ATA Antarctica
AR ARG Argentina
AS ASM American Samoa
AT AUT Austria
AU AUS Australia
AW ABW Aruba
AX ALA Åland Islands
AZ AZE Azerbaijan
BA BIH Bosnia & Herzegovina
BB BRB Barbados
BD BGD Bangladesh
BE BEL Belgium
BF BFA Burkina Faso
BG BGR Bulgaria
BH BHR Bahrain
BI BDI Burundi
BJ BEN Benin
BL BLM St. Barthélemy
BM BMU Bermuda
BN BRN Brunei
BO BOL Bolivia
BQ BES Caribbean Netherlands
BR BRA Brazil
BS BHS Bahamas
BT BTN Bhutan
BV BVT Bouvet Island
BW BWA Botswana
BY BLR Belarus
BZ BLZ Belize
CA CAN Canada
CC CCK Cocos (Keeling) Islands
CD COD Congo (Democratic Republic)
CF CAF Central African Republic
CG COG Congo
CH CHE Switzerland
CI CIV Côte d’Ivoire
CK COK Cook Islands
CL CHL Chile
CM CMR Cameroon
CN CHN China
CO COL Colombia
CR CRI Costa Rica
CU CUB Cuba
CV CPV Cape Verde
CW CUW Curaçao
CX CXR Christmas Island
CY CYP Cyprus
CZ CZE Czechia
DE DEU Germany
DJ DJI Djibouti
DK DNK Denmark
DM DMA Dominica
DO DOM Dominican Republic
DZ DZA Algeria
EC ECU Ecuador
EE EST Estonia
EG EGY Egypt
EH ESH Western Sahara
ER ERI Eritrea
ES ESP Spain
ET ETH Ethiopia
FI FIN Finland
FJ FJI Fiji
FK FLK Falkland Islands
FM FSM Micronesia
FO FRO Faroe Islands
FR FRA France
GA GAB Gabon
GB GBR United Kingdom
GD GRD Grenada
GE GEO Georgia
GF GUF French Guiana
GG GGY Guernsey
GH GHA Ghana
GI GIB Gibraltar
GL GRL Greenland
GM GMB Gambia
GN GIN Guinea
GP GLP Guadeloupe
GQ GNQ Equatorial Guinea
GR GRC Greece
GS SGS South Georgia & South Sandwich Islands
GT GTM Guatemala
GU GUM Guam
GW GNB Guinea-Bissau
GY GUY Guyana
HK HKG Hong Kong
HM HMD Heard & McDonald Islands
HN HND Honduras
HR HRV Croatia
HT HTI Haiti
HU HUN Hungary
ID IDN Indonesia
IE IRL Ireland
IL ISR Israel
IM IMN Isle of Man
IN IND India
IO IOT British Indian Ocean Territory
IQ IRQ Iraq
IR IRN Iran
IS ISL Iceland
IT ITA Italy
JE JEY Jersey
JM JAM Jamaica
JO JOR Jordan
JP JPN Japan
KE KEN Kenya
KG KGZ Kyrgyzstan
KH KHM Cambodia
KI KIR Kiribati
KM COM Comoros
KN KNA St. Kitts & Nevis
KP PRK North Korea
KR KOR South Korea
KW KWT Kuwait
KY CYM Cayman Islands
KZ KAZ Kazakhstan
LA LAO Laos
LB LBN Lebanon
LC LCA St. Lucia
LI LIE Liechtenstein
LK LKA Sri Lanka
LR LBR Liberia
LS LSO Lesotho
LT LTU Lithuania
LU LUX Luxembourg
LV LVA Latvia
LY LBY Libya
MA MAR Morocco
MC MCO Monaco
MD MDA Moldova
ME MNE Montenegro
MF MAF St. Martin
MG MDG Madagascar
MH MHL Marshall Islands
MK MKD North Macedonia
ML MLI Mali
MM MMR Myanmar
MN MNG Mongolia
MO MAC Macao
MP MNP Northern Mariana Islands
MQ MTQ Martinique
MR MRT Mauritania
MS MSR Montserrat
MT MLT Malta
MU MUS Mauritius
MV MDV Maldives
MW MWI Malawi
MX MEX Mexico
MY MYS Malaysia
MZ MOZ Mozambique
NA NAM Namibia
NC NCL New Caledonia
NE NER Niger
NF NFK Norfolk Island
NG NGA Nigeria
NI NIC Nicaragua
NL NLD Netherlands
NO NOR Norway
NP NPL Nepal
NR NRU Nauru
NU NIU Niue
NZ NZL New Zealand
OM OMN Oman
PA PAN Panama
PE PER Peru
PF PYF French Polynesia
PG PNG Papua New Guinea
PH PHL Philippines
PK PAK Pakistan
PL POL Poland
PM SPM St. Pierre & Miquelon
PN PCN Pitcairn Islands
PR PRI Puerto Rico
PS PSE Palestine
PT PRT Portugal
PW PLW Palau
PY PRY Paraguay
QA QAT Qatar
RE REU Réunion
RO ROU Romania
RS SRB Serbia
RU RUS Russia
RW RWA Rwanda
SA SAU Saudi Arabia
SB SLB Solomon Islands
SC SYC Seychelles
SD SDN Sudan
SE SWE Sweden
SG SGP Singapore
SH SHN St. Helena
SI SVN Slovenia
SJ SJM Svalbard & Jan Mayen
SK SVK Slovakia
SL SLE Sierra Leone
SM SMR San Marino
SN SEN Senegal
SO SOM Somalia
SR SUR Suriname
SS SSD South Sudan
ST STP São Tomé & Príncipe
SV SLV El Salvador
SX SXM Sint Maarten
SY SYR Syria
SZ SWZ Eswatini
TC TCA Turks & Caicos Islands
TD TCD Chad
TF ATF French Southern Territories
TG TGO Togo
TH THA Thailand
TJ TJK Tajikistan
TK TKL Tokelau
TL TLS Timor-Leste
TM TKM Turkmenistan
TN TUN Tunisia
TO TON Tonga
TR TUR Turkey
TT TTO Trinidad & Tobago
TV TUV Tuvalu
TW TWN Taiwan
TZ TZA Tanzania
UA UKR Ukraine
UG UGA Uganda
UM UMI U.S. Outlying Islands
US USA United States
UY URY Uruguay
UZ UZB Uzbekistan
VA VAT Vatican City
VC VCT St. Vincent & Grenadines
VE VEN Venezuela
VG VGB British Virgin Islands
VI VIR U.S. Virgin Islands
VN VNM Vietnam
VU VUT Vanuatu
WF WLF Wallis & Futuna
WS WSM Samoa
XK XKX Kosovo
YE YEM Yemen
YT MYT Mayotte
ZA ZAF South Africa
ZM ZMB Zambia
ZW ZWE Zimbabwe
"""

_ALIASES = """
AE UAE
AX Aland
BA Bosnia; Bosnia Herzegovina
BL Saint Barthelemy; St Barts
BN Brunei Darussalam
BO Bolivia, Plurinational State of; Plurinational State of Bolivia
BQ Bonaire, Sint Eustatius and Saba; Bonaire; Dutch Caribbean
BV Bouvet
BY Byelarus
CC Cocos Islands; Keeling Islands
CD Congo, Democratic Republic of the; Congo, The Democratic Republic of the; Democratic Republic of the Congo
CD DR Congo; Congo - Kinshasa; Congo Kinshasa; DRC
CG Republic of the Congo; Congo, Republic of the; Congo - Brazzaville; Congo Brazzaville
CI Ivory Coast; Cote d'Ivoire
CN China, People's Republic of; People's Republic of China; PRC; Mainland China; China mainland
CV Cabo Verde
CW Curacao
CZ Czech Republic; Czechia
DE Federal Republic of Germany
DO Dominican Rep.
EH Western Sahara
FK Falkland Islands (Malvinas); Falklands
FM Micronesia, Federated States of; Federated States of Micronesia
FO Faeroe Islands
GB UK; U.K.; Great Britain; Britain; England; Scotland; Wales; Northern Ireland
GB United Kingdom of Great Britain and Northern Ireland; United Kingdom (UK)
GM Gambia, The; The Gambia
GR EL; Hellas
GS South Georgia and the South Sandwich Islands
HK Hong Kong SAR; Hong Kong SAR China; Hong Kong (China); Hong Kong, China; HKSAR; Hongkong
HM Heard Island and McDonald Islands
IR Iran, Islamic Republic of; Islamic Republic of Iran
IM Isle of Man
IE Republic of Ireland; Ireland, Republic of; Eire
KG Kyrgyz Republic
KN Saint Kitts and Nevis; St Kitts
KP North Korea; Korea, Democratic People's Republic of; Democratic People's Republic of Korea; DPRK; Korea (North)
KR South Korea; Korea, Republic of; Republic of Korea; Korea (South); Korea South; Korea
LA Lao People's Democratic Republic; Lao PDR; Lao
LC Saint Lucia
LY Libyan Arab Jamahiriya; State of Libya
MD Moldova, Republic of; Republic of Moldova
MF Saint Martin; Saint Martin (French part)
MK Macedonia; Macedonia, The Former Yugoslav Republic of; The Former Yugoslav Republic of Macedonia
MK Republic of North Macedonia; FYROM
MM Burma; Myanmar (Burma); BUR
MO Macau; Macao SAR; Macao SAR China; Macau SAR; Macau (China); Macao, China; Macau, China
NL Holland; The Netherlands; Netherlands, The
PM Saint Pierre and Miquelon
PN Pitcairn
PS State of Palestine; Palestine, State of; Palestinian Territory, Occupied; Palestinian Territory
PS Palestinian Territories; Occupied Palestinian Territory
RE Reunion; Reunion Island
RU Russian Federation
SH Saint Helena; Saint Helena, Ascension and Tristan da Cunha
SJ Svalbard and Jan Mayen
SK Slovak Republic
ST Sao Tome and Principe
SX Sint Maarten (Dutch part)
SY Syrian Arab Republic
SZ Swaziland
TC Turks and Caicos
TF French Southern Territories
TL East Timor
TR Turkiye; Republic of Turkiye; Republic of Turkey
TT Trinidad
TW Taiwan, Province of China; Taiwan, Republic of China; Taiwan ROC; Taiwan (China); Chinese Taipei
TZ Tanzania, United Republic of; United Republic of Tanzania
UM United States Minor Outlying Islands; US Outlying Islands; US Minor Outlying Islands
US United States of America; The United States of America; USA; U.S.A.; U.S.; The United States
VA Vatican; Holy See; Holy See (Vatican City State); Vatican City State
VC Saint Vincent and the Grenadines
VE Venezuela, Bolivarian Republic of; Bolivarian Republic of Venezuela
VG British Virgin Islands; Virgin Islands, British; Virgin Islands (British)
VI US Virgin Islands; Virgin Islands, U.S.; Virgin Islands (U.S.); United States Virgin Islands
VI Virgin Islands of the United States
VN Viet Nam; Socialist Republic of Viet Nam
WF Wallis and Futuna Islands
XK Republic of Kosovo; XKK
"""

_ARTICLES = re.compile(r"\b(the|and|of|st|saint)\b|&")
_NOT_A_LETTER = re.compile(r"[^a-z0-9]+")


def _plain(name: str) -> str:
    """What is left to compare of a country's name: letters without case, accents, articles and blanks."""
    letters = unicodedata.normalize("NFKD", name).casefold().replace("\u2019", "'")
    letters = "".join(sign for sign in letters if not unicodedata.combining(sign))
    return _NOT_A_LETTER.sub("", _ARTICLES.sub(" ", letters.replace(".", "")))


def _read_tables() -> tuple[dict[str, str], dict[str, str]]:
    codes: dict[str, str] = {}
    names: dict[str, str] = {}
    for row in _COUNTRIES.strip().splitlines():
        two, three, name = row.split(" ", 2)
        codes[two], codes[three], names[_plain(name)] = two, two, two
    for row in _ALIASES.strip().splitlines():
        two, _, aliases = row.partition(" ")
        names.update((_plain(alias), two) for alias in aliases.split(";"))
    return codes, names


_CODES, _NAMES = _read_tables()


def country_code(stated: str) -> str | None:
    """The two-letter code of the country that `stated` (a code of two or three letters, or a name) means, or None."""
    return _CODES.get(stated.strip().upper()) or _NAMES.get(_plain(stated))
